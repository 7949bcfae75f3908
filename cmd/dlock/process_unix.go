//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is the running command, the leader of a process group. One goroutine
// uses it, and nobody else waits for the command: so its number is not that of
// another process as long as it has not been seen to end.
type process struct {
	group    int            // its number, and that of its group
	changed  chan os.Signal // something has become of it: look tells what
	terminal *terminal      // nil without
	lent     bool           // the group has been given the terminal, and has it when dlock would
	guard    *guard         // nil without
}

// startProcess starts a command. From then on the signals that are for it are
// sent to signals. What is bound is killed when dlock dies.
func startProcess(cmd *exec.Cmd, signals chan<- os.Signal, bound bool) (*process, exit) {
	p := &process{changed: make(chan os.Signal, 1), terminal: openTerminal()}
	signal.Notify(p.changed, syscall.SIGCHLD)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.terminal.ours() && !piped() {
		p.lent = true
		cmd.SysProcAttr.Foreground = true
		cmd.SysProcAttr.Ctty = int(p.terminal.file.Fd())
	}
	if bound {
		bind(cmd.SysProcAttr)
		var err error
		if p.guard, err = newGuard(); err != nil {
			return nil, exit{code: exitFailure, err: err}
		}
	}
	if err := cmd.Start(); err != nil {
		p.guard.dismiss()
		if p.lent {
			p.terminal.give(unix.Getpgrp()) // It may have been given before that failed.
		}
		return nil, unusable(err)
	}
	p.group = cmd.Process.Pid
	p.guard.watch(p.group)
	listen(signals, tidings...)
	return p, exit{}
}

// look tells whether the command has ended, and how. Where it has stopped, dlock
// stops too, and both go on together.
func (p *process) look() (exit, bool) {
	whose := p.group
	if os.Getpid() == 1 {
		whose = -1
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(whose, &status, unix.WUNTRACED|unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case pid > 0 && pid != p.group:
			continue // An orphan, which is init's to bury.
		case err != nil:
			return exit{code: exitFailure, err: os.NewSyscallError("wait4", err)}, true
		case pid == 0:
			return exit{}, false
		case status.Stopped():
			p.stopped(status.StopSignal())
		case status.Signaled():
			e := bySignal(status.Signal())
			e.interrupted = p.terminal.takeBack(p.group) && status.Signal() == unix.SIGINT
			return e, true
		case status.Exited():
			p.terminal.takeBack(p.group)
			return exit{code: status.ExitStatus()}, true
		}
	}
}

// reap buries orphans, where that is for dlock to do, when the command has ended.
func (p *process) reap() {
	if os.Getpid() != 1 {
		return
	}
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// pass passes a signal on.
func (p *process) pass(sig os.Signal) {
	if sig == syscall.SIGCONT {
		p.resume()
		return
	}
	if number, ok := sig.(syscall.Signal); ok {
		p.send(number)
	}
}

// terminate asks the group to end. What is stopped hears it, too.
func (p *process) terminate() {
	adopt()
	p.send(syscall.SIGTERM)
	p.send(syscall.SIGCONT)
}

func (p *process) kill() { p.send(syscall.SIGKILL) }

// send sends a signal to the group. It fails when there is nobody left to tell.
func (p *process) send(sig syscall.Signal) { _ = unix.Kill(-p.group, sig) }

// stopped does what is to be done about a command that sig has stopped.
func (p *process) stopped(sig syscall.Signal) {
	asked := sig == syscall.SIGTTIN || sig == syscall.SIGTTOU // for the terminal
	switch {
	case p.terminal == nil:
		// No shell waits for dlock to stop. Who stopped the command continues it.
	case asked && p.terminal.ours():
		p.lent = true
		p.resume()
	case asked, sig == syscall.SIGTSTP, p.terminal.has(p.group):
		if p.suspend() || !asked {
			p.resume()
		}
	}
}

// suspend stops dlock's process group, as the terminal would have, had the keys
// been for it. It returns when the group goes on, and reports whether it had
// stopped: the system does not stop a group that no shell would continue.
func (p *process) suspend() bool {
	p.terminal.takeBack(p.group)
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	// Not TSTP: the Go runtime never gives that its default action back.
	_ = unix.Kill(0, unix.SIGTTIN)
	select {
	case <-continued:
		return true
	case <-time.After(100 * time.Millisecond): // It takes effect at once or not at all.
		return false
	}
}

// resume has the command go on, with the terminal if dlock has it to give.
func (p *process) resume() {
	if p.lent && p.terminal.ours() {
		p.terminal.give(p.group)
	}
	p.send(syscall.SIGCONT)
}

// linger waits until nobody is left in the group of a command that has ended, but
// not beyond a deadline, and then kills the rest.
func (p *process) linger(deadline time.Time) {
	for {
		for ended := 1; ended > 0; {
			ended, _ = unix.Wait4(-p.group, nil, unix.WNOHANG, nil)
		}
		if unix.Kill(-p.group, 0) != nil {
			return
		}
		if !time.Now().Before(deadline) {
			p.kill()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// close ends what stands around the command, which has ended.
func (p *process) close() {
	p.guard.dismiss()
	signal.Stop(p.changed)
	// What is typed on a terminal is for dlock itself from now on.
	signal.Reset(tidings...)
	if p.terminal != nil {
		p.terminal.file.Close()
	}
}
