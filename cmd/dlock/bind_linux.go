package main

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// bind has the system kill the command in the moment in which dlock dies, for
// then the lock may be free. The guard comes later and sees to the rest. It binds
// the command to the thread that starts it, so the goroutine keeps that thread to
// itself.
func bind(attr *syscall.SysProcAttr) {
	runtime.LockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
}

// adopt has the children of the command become those of dlock when the command
// ends, so that it can be seen that they have ended, too: what a container has in
// the place of init may leave them as zombies.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
