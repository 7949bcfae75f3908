package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"

	"github.com/dlock-go/dlock"
)

// find returns the command that argv names, ready to be started.
func find(argv []string) (*exec.Cmd, exit) {
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
		return exit{exitNotFound, err}
	}
	return exit{exitNotExecutable, err}
}

// guard runs a command while hold stands. Signals go to the command, and when the
// lock is lost, so is the command's right to go on.
func guard(cmd *exec.Cmd, hold *dlock.Hold, signals <-chan os.Signal) exit {
	tie(cmd)
	if err := cmd.Start(); err != nil {
		return unusable(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	// What came until now came perhaps before there was a command to have it:
	// better twice than not at all.
	for missed := true; missed; {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig)
		default:
			missed = false
		}
	}
	lost := hold.Lost()
	for {
		select {
		case err := <-ended:
			if cmd.ProcessState == nil {
				return exit{exitFailure, err}
			}
			return byState(cmd.ProcessState)
		case sig := <-signals:
			if !reachedAll(sig) {
				_ = cmd.Process.Signal(sig) // It fails when there is nobody left to tell.
			}
		case <-lost:
			lost = nil
			// First things first: standard error may block or be closed.
			_ = terminate(cmd.Process)
			say(fmt.Errorf("%w; the command is told to end", hold.Err()))
		}
	}
}
