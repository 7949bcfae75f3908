//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endings are the signals that are meant for the command, or for dlock as long as
// there is none. Those among them that end a process would otherwise end dlock
// and leave the command behind without the lock.
var endings = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// tidings are the signals that are passed on besides, once there is a command.
var tidings = []os.Signal{syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH}

// catch returns a channel of the signals that end the wait and then go to the
// command.
func catch() chan os.Signal {
	signals := make(chan os.Signal, 64)
	listen(signals, endings...)
	// A message that nobody reads any more must not end dlock.
	listen(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signals
}

// listen has signals sent to a channel. What is ignored stays so for dlock and
// the command, as under nohup.
func listen(signals chan<- os.Signal, sigs ...os.Signal) {
	for _, sig := range sigs {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
}

// ending reports whether a signal is for dlock to end.
func ending(sig os.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// interruptGroup does to dlock's process group what the terminal's interrupt
// would have done, had the command not had the terminal: a script of which dlock
// is one line ends, too.
func interruptGroup() {
	signal.Reset(syscall.SIGINT)
	_ = unix.Kill(0, unix.SIGINT)
	time.Sleep(time.Second) // It comes to another thread, if it does not come at once.
}
