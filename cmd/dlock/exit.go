package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// The exit codes of dlock itself. Those below 100 are the ones of sysexits.h, the
// others those of a shell.
const (
	exitFailure       = 1
	exitUsage         = 64 // EX_USAGE
	exitUnavailable   = 69 // EX_UNAVAILABLE
	exitBusy          = 75 // EX_TEMPFAIL: the caller may try again
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // plus the number of the signal
)

// An exit is how dlock ends. The zero exit is success.
type exit struct {
	code int
	err  error // what is to be said about it, or nil
}

func usage(format string, args ...any) exit {
	return exit{exitUsage, fmt.Errorf(format+" (see dlock help)", args...)}
}

// bySignal is the exit of a program that sig ended, as a shell reports it.
func bySignal(sig os.Signal) exit {
	number, _ := sig.(syscall.Signal)
	return exit{code: exitSignal + int(number)}
}

// byState is the exit of dlock after a command that ended so.
func byState(state *os.ProcessState) exit {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return bySignal(status.Signal())
	}
	return exit{code: state.ExitCode()}
}

// say prints one message. All that dlock prints beside the command starts alike.
func say(message any) {
	fmt.Fprintln(os.Stderr, "dlock: "+strings.TrimPrefix(fmt.Sprint(message), "dlock: "))
}
