//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// catch returns a channel of the signals that are meant for the command, or for
// dlock as long as there is none. Those among them that end a process would
// otherwise end dlock and leave the command behind without the lock.
func catch() <-chan os.Signal {
	signals := make(chan os.Signal, 16)
	for _, sig := range []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	} {
		// What is ignored stays so for dlock and the command, as under nohup.
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	return signals
}

// reachedAll reports whether the command has heard sig already. A terminal sends
// what is typed, such as Ctrl-C, to its whole foreground process group, which the
// command shares with dlock; and to many programs a second interrupt means to
// drop everything. Who sends INT to dlock alone from elsewhere, while it is in the
// foreground, cannot be told from that; TERM always passes.
func reachedAll(sig os.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false // there is none
	}
	defer terminal.Close()
	foreground, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

// terminate asks a process to end.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
