//go:build !linux

package main

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// runsUs reports whether a process is there: these systems have no simple way to tell
// whose child a process is.
func runsUs(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	return runtime.GOOS == "windows" || !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
