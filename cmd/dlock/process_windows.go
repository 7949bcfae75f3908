package main

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// A process is the running command. It goes on when dlock is killed.
type process struct {
	process *os.Process
	changed chan os.Signal // closed when it has ended
	exit    exit           // set before that
}

// startProcess starts a command.
func startProcess(cmd *exec.Cmd, _ chan<- os.Signal, _ bool) (*process, exit) {
	if err := cmd.Start(); err != nil {
		return nil, unusable(err)
	}
	p := &process{process: cmd.Process, changed: make(chan os.Signal)}
	go p.wait(cmd)
	return p, exit{}
}

func (p *process) wait(cmd *exec.Cmd) {
	defer close(p.changed)
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		p.exit = exit{code: exitFailure, err: err}
	} else {
		p.exit = exit{code: cmd.ProcessState.ExitCode()}
	}
}

// look tells how the command has ended.
func (p *process) look() (exit, bool) { return p.exit, true }

// pass does nothing: a console sends its events to all that run in it.
func (p *process) pass(os.Signal) {}

// terminate ends the command. Windows has no way to ask.
func (p *process) terminate() { _ = p.process.Kill() }

func (p *process) kill() { _ = p.process.Kill() }

func (p *process) linger(time.Time) {}

func (p *process) close() {}

// catch returns a channel of the console's events. They end dlock as long as
// there is no command.
func catch() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals
}

func interruptGroup() {}

// guardName is no argument.
const guardName = "guard-of-dlock"

func standGuard(io.Reader) exit { return usage("there are no guards on Windows") }

// terminalWidth reports whether f is a console. Lines are not replaced on it.
func terminalWidth(f *os.File) (columns int, ok bool) {
	var mode uint32
	return 0, windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}
