package main

import (
	"fmt"
	"os"
	"syscall"
)

// The exit codes of dlock itself; statuses says what they mean. Those below 100
// are the ones of sysexits.h, the others those of a shell, but for exitLost.
const (
	exitFailure       = 1
	exitUsage         = 64 // EX_USAGE
	exitUnavailable   = 69 // EX_UNAVAILABLE
	exitBusy          = 75 // EX_TEMPFAIL: the caller may try again
	exitLost          = 121
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // plus the number of the signal
)

// An exit is how dlock ends. The zero exit is success.
type exit struct {
	code int
	err  error // what is to be said about it, or nil
	// lost is set when the lock was lost, and that is said, in err or before.
	lost bool
	// ran is set when the command was started.
	ran bool
	// interrupted is set when the terminal's interrupt ended the command, and
	// came to nobody but the command, because that had the terminal.
	interrupted bool
}

// leave ends the process.
func (e exit) leave() {
	if e.interrupted {
		interruptGroup()
	}
	os.Exit(e.code)
}

func usage(format string, args ...any) exit {
	return exit{code: exitUsage, err: fmt.Errorf(format+" (see dlock help)", args...)}
}

// bySignal is the exit of a program that sig ended, as a shell reports it.
func bySignal(sig os.Signal) exit {
	number, _ := sig.(syscall.Signal)
	return exit{code: exitSignal + int(number)}
}
