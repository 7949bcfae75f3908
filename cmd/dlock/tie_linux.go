package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// tie has the system send TERM to the command when dlock is killed, for then the
// lock is free. It ties the command to the thread that starts it, so the
// goroutine keeps that thread to itself.
func tie(cmd *exec.Cmd) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
