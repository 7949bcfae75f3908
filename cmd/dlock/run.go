package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dlock-go/dlock"
)

// parting is how long dlock goes on for the sake of an orderly end: a store that
// does not answer by then frees by itself what a dead process held.
const parting = 5 * time.Second

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
		lock.giveBack()
		return bySignal(sig)
	default:
	}
	e = j.guard(cmd, lock.hold, signals)
	if err := lock.giveBack(); errors.Is(err, dlock.ErrLost) && !e.lost {
		err = fmt.Errorf("%w, before the command ended", err)
		if j.onLost != onLostIgnore {
			return exit{code: exitLost, err: err}
		}
		say(err)
	}
	return e
}

// await takes the lock. A signal ends the wait.
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
	select {
	case a := <-answers:
		return a.lock, a.exit
	case sig := <-signals:
		cancel()
		// The place in the queue is given back, or the lock, if it was granted
		// at the same moment.
		select {
		case a := <-answers:
			if a.lock != nil {
				a.lock.giveBack()
			}
		case <-time.After(parting):
		}
		return nil, bySignal(sig)
	}
}
