package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// OwnCPU returns the processor time that this process has used.
func OwnCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // Only a bad argument is an error.
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// CPU returns the processor time that a process and its children that live have
// used.
func CPU(pid int) time.Duration {
	total := spent(pid)
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				total += spent(pid)
			}
		}
	}
	return total
}

// spent returns the processor time of one process with all its threads, or 0 when
// it is gone.
func spent(pid int) time.Duration {
	var total time.Duration
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range threads {
		stat, _ := os.ReadFile(t)
		on, _, _ := strings.Cut(string(stat), " ")
		ns, _ := strconv.ParseInt(on, 10, 64)
		total += time.Duration(ns)
	}
	return total
}

// Connections returns how many sockets this process has open.
func Connections() int {
	n := 0
	descriptors, _ := os.ReadDir("/proc/self/fd")
	for _, d := range descriptors {
		if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
