package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// grace is how long dlock goes on for the sake of an orderly end: a store that
// does not answer by then frees by itself what a dead process held.
const grace = 5 * time.Second

// run is the subcommand.
func run(args []string) exit {
	j, err := parseJob(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return printHelp()
	case err != nil:
		return usage("%w", err)
	}
	if j.url == "" {
		if j.url, err = defaultURL(); err != nil {
			return exit{exitUnavailable, err}
		}
	}
	// It does not connect: its errors are those of the URL, and the caller's.
	if _, err := backend.FromURL(j.url); err != nil {
		return exit{exitUsage, err}
	}
	cmd, e := find(j.command)
	if cmd == nil {
		return e // now, and not after an hour of waiting
	}

	signals := catch()
	lock, e := j.await(signals)
	if lock == nil {
		return e
	}
	defer lock.giveBack()
	select {
	case sig := <-signals:
		return bySignal(sig)
	default:
		return guard(cmd, lock.hold, signals)
	}
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
		case <-time.After(grace):
		}
		return nil, bySignal(sig)
	}
}
