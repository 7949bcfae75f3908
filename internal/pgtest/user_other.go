//go:build !unix

package pgtest

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

func detach(*exec.Cmd) {}

func become(*exec.Cmd) error {
	return fmt.Errorf("pgtest: on %s it is %w", runtime.GOOS, ErrMissing)
}

func give(string) error { return become(nil) }

// Never sent.
const (
	sigInt = syscall.Signal(iota)
	sigQuit
	sigHup
	sigKill
	sigStop
	sigCont
)

type signalNumber = syscall.Signal

func signal(int, signalNumber) error { return become(nil) }
