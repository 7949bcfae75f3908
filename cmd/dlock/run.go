package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dlock-go/dlock"
)

// closeTimeout is how long dlock goes on for the sake of an orderly end: a store that
// does not answer by then frees by itself what a dead process held.
const closeTimeout = 5 * time.Second

// waitParting is the same where a signal has ended a wait.
const waitParting = 2 * time.Second

// brieflyParting is the same where the user has said how long dlock may take.
const brieflyParting = 500 * time.Millisecond

// run is the subcommand.
func (j *job) run() exit {
	cmd, e := lookUp(j.command)
	if cmd == nil {
		return e // now, and not after an hour of waiting
	}
	signals := catch()
	lock, e := j.await(signals)
	if lock == nil {
		return e
	}
	select {
	case sig := <-signals:
		return j.part(lock, signals, bySignal(sig))
	default:
	}
	e = j.guard(cmd, lock.hold, signals)
	if e.ran && !e.lost {
		e = j.stay(lock, signals, e)
	}
	return j.part(lock, signals, e)
}

// await takes the lock. A signal ends the wait, and so does its deadline, whatever the
// store does.
func (j *job) await(signals <-chan os.Signal) (*held, exit) {
	type answer struct {
		lock *held
		exit exit
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answers := make(chan answer, 1) // with room, so that its sender never waits
	go func() {
		lock, e := j.take(ctx)
		answers <- answer{lock, e}
	}()
	var late <-chan time.Time // nil: never
	if deadline := j.deadline(); !deadline.IsZero() {
		late = time.After(time.Until(deadline) + 2*brieflyParting) // who holds it may be asked, too
	}
	select {
	case a := <-answers:
		return a.lock, a.exit
	case <-late:
		return nil, j.overdue(context.DeadlineExceeded)
	case sig := <-signals:
		cancel()
		// The place in the queue is given back, or the lock, if it was granted
		// at the same moment.
		select {
		case a := <-answers:
			if a.lock != nil {
				return nil, j.part(a.lock, signals, bySignal(sig))
			}
		case <-time.After(waitParting):
		case <-signals:
		}
		return nil, bySignal(sig)
	}
}

// stay keeps the lock for as long as it is to be kept at least. A signal ends that.
func (j *job) stay(lock *held, signals <-chan os.Signal, e exit) exit {
	left := time.Until(lock.since.Add(j.atLeast))
	if left <= 0 {
		return e
	}
	if j.verbose {
		say(fmt.Sprintf("the command has ended; %s is kept for another %v", brief(j.name), left.Round(time.Millisecond)))
	}
	over := time.After(left)
	for {
		select {
		case <-over:
			return e
		case sig := <-signals:
			if ending(sig) {
				return bySignal(sig)
			}
		case <-lock.hold.Lost():
			err := fmt.Errorf("%w, before its time was over", lock.hold.Err())
			if j.onLost == onLostIgnore {
				say(err)
				e.lost = true
				return e
			}
			return exit{code: exitLost, lost: true, err: err}
		}
	}
}

// part releases the lock and ends with e, or with what the release finds out. A signal
// leaves it little time.
func (j *job) part(lock *held, signals <-chan os.Signal, e exit) exit {
	released := make(chan error, 1) // with room, so that its sender never waits
	go func() { released <- lock.giveBack() }()
	var enough <-chan time.Time // nil until a signal has come
	for {
		select {
		case <-enough:
			return e
		case sig := <-signals:
			if ending(sig) && enough == nil {
				enough = time.After(brieflyParting)
			}
		case err := <-released:
			if !errors.Is(err, dlock.ErrLost) || e.lost {
				return e
			}
			err = fmt.Errorf("%w, before the command ended", err)
			if j.onLost != onLostIgnore {
				return exit{code: exitLost, err: err}
			}
			say(err)
			return e
		}
	}
}
