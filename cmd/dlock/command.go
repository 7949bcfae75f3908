package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock"
)

// The variables that the command finds in its environment. TRACEPARENT is there
// if it was in that of dlock: the command is a child of the same span, for dlock
// exports none of its own that could stand between.
const (
	nameVariable  = "DLOCK_NAME"
	tokenVariable = "DLOCK_TOKEN"
)

// longestGlance is the longest time between two looks at a deadline. The timers
// of a process stand still while the machine sleeps, and the deadline does not.
const longestGlance = time.Second

// lookUp returns the command that argv names, ready to be started.
func lookUp(argv []string) (*exec.Cmd, exit) {
	cmd := exec.Command(argv[0], argv[1:]...)
	if cmd.Err != nil {
		return nil, unusable(cmd.Err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd, exit{}
}

// unusable is the exit of dlock when the command cannot be started because of err.
func unusable(err error) exit {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exit{code: exitNotFound, err: err}
	}
	return exit{code: exitNotExecutable, err: err}
}

// environment returns the environment of the command.
func (j *job) environment(hold *dlock.Hold) []string {
	// One dlock may run another, which may have no token.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, tokenVariable+"=") || strings.HasPrefix(v, heldVariable+"=")
	})
	env = append(env, nameVariable+"="+j.name, heldVariable+"="+j.lineage())
	if token, ok := hold.Token(); ok {
		env = append(env, tokenVariable+"="+strconv.FormatUint(token, 10))
	}
	return env
}

// guard runs a command while hold stands. Signals go to the command, and when the
// lock is lost, so is the command's right to go on.
func (j *job) guard(cmd *exec.Cmd, hold *dlock.Hold, signals chan os.Signal) exit {
	p, heirs, e := j.start(cmd, hold, signals)
	defer heirs.close()
	if p == nil {
		return e
	}
	defer p.close()
	w := watch{job: j, hold: hold, process: p, loss: loss{action: j.onLost, grace: j.grace}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	lost := hold.Lost()
	var childless <-chan struct{} // nil until the command has ended
	var asked bool                // a signal has asked for the end
	var enough <-chan time.Time   // nil until that is to end the wait for its children
	for {
		select {
		case <-p.changed:
			if w.ended {
				p.reap()
				continue
			}
			e, w.ended = p.look()
			if e.ran = true; w.ended && heirs == nil {
				return w.end(e)
			}
			if w.ended {
				childless = heirs.gone
				if asked {
					enough = time.After(waitParting)
				}
			}
			continue
		case <-childless:
			return w.end(e)
		case sig := <-signals:
			p.pass(sig)
			asked = asked || ending(sig)
			if w.ended && enough == nil && asked {
				e = bySignal(sig)
				enough = time.After(waitParting)
			}
			continue
		case <-enough:
			return w.end(e)
		case <-lost:
			lost = nil
		case <-timer.C:
		}
		timer.Stop()
		pause, ok := w.look()
		if w.killed && w.ended {
			return w.end(e) // Children that have left the process group are on their own.
		}
		if ok {
			timer.Reset(pause)
		}
	}
}

// start starts a command that is to know of hold. heirs is nil where its children are not
// waited for, and the process where the command does not run, for which the exit says why.
func (j *job) start(cmd *exec.Cmd, hold *dlock.Hold, signals chan os.Signal) (p *process, heirs *heirs, e exit) {
	cmd.Env = j.environment(hold)
	if j.waitChildren {
		var err error
		if heirs, err = bequeath(cmd); err != nil {
			return nil, nil, exit{code: exitFailure, err: err}
		}
	}
	if p, e = startProcess(cmd, signals, j.onLost != onLostIgnore); p != nil {
		heirs.begin()
	}
	return p, heirs, e
}

// A watch acts on what becomes of the lock while the command runs.
type watch struct {
	job     *job
	hold    *dlock.Hold
	process *process
	loss    loss
	told    bool // the command has been told to end, or been killed
	killed  bool
	ended   bool // the command has; its children may not have
}

// look does what is to be done now, and returns when to look again.
func (w *watch) look() (pause time.Duration, again bool) {
	now := time.Now()
	deadline, leased := w.hold.Deadline()
	err := w.hold.Err()
	verdict, next := w.loss.judge(now, deadline, err != nil)
	// First things first: standard error may block or be closed.
	switch verdict {
	case tell:
		w.told = true
		w.process.terminate()
		if err != nil {
			say(fmt.Errorf("%w; the command is told to end", err))
		} else {
			say(fmt.Sprintf("the lock %s could not be renewed and ends in %v; the command is told to end",
				brief(w.job.name), deadline.Sub(now).Round(time.Millisecond)))
		}
	case renewed:
		say(fmt.Sprintf("the lock %s was renewed after all, but the command had been told to end", brief(w.job.name)))
	case kill:
		w.process.kill()
		w.killed = true
		if err == nil {
			err = fmt.Errorf("the lock %s has ended", brief(w.job.name))
		}
		say(fmt.Errorf("%w; the command is killed", err))
		w.told = true
	case report:
		say(fmt.Errorf("%w; the command goes on without it", err))
	}
	if leased {
		next = earlier(next, now.Add(longestGlance))
	}
	return time.Until(next), !next.IsZero()
}

// earlier returns the earlier of two times, of which a may be zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// end is the exit of dlock after a command that ended with e.
func (w *watch) end(e exit) exit {
	if w.told {
		// Its children were told too, and may need the rest of the grace.
		w.process.linger(w.loss.killAt)
		return exit{code: exitLost, lost: true}
	}
	if err := w.hold.Err(); err != nil && w.job.onLost != onLostIgnore {
		return exit{code: exitLost, lost: true, err: fmt.Errorf("%w, before the command ended", err)}
	}
	e.lost = w.loss.lost
	return e
}
