package main

import (
	"os"
	"os/signal"
	"syscall"
)

// catch returns a channel of the console's events. They end dlock as long as
// there is no command.
func catch() <-chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals
}

// reachedAll reports that the command has heard sig already: a console sends its
// events to all that run in it.
func reachedAll(os.Signal) bool { return true }

// terminate ends a process. Windows has no way to ask.
func terminate(p *os.Process) error { return p.Kill() }
