package main

import (
	"runtime"
	"syscall"
)

// bind has the system kill the command in the moment in which dlock dies, for
// then the lock may be free. The guard comes later and sees to the rest. It binds
// the command to the thread that starts it, so the goroutine keeps that thread to
// itself.
func bind(attr *syscall.SysProcAttr) {
	runtime.LockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
}
