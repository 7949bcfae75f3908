package sched

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// TestWaited: threads that want to run, more than there are processors, are seen to wait.
func TestWaited(t *testing.T) {
	if _, ok := waited("/proc/self/schedstat"); !ok {
		t.Skip("the system does not count")
	}
	var m Meter
	self := []int{os.Getpid()}
	var stop atomic.Bool
	defer stop.Store(true)
	for range 4 * runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			for !stop.Load() {
			}
		}()
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(6 * runtime.NumCPU()))
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if m.Waited(self) > time.Millisecond {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal("nobody waited")
		}
	}
}

// TestFamily: children are found, but for those of the name.
func TestFamily(t *testing.T) {
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	if all := Family(""); !slices.Contains(all, os.Getpid()) || !slices.Contains(all, c.Process.Pid) {
		t.Errorf("%v are without %d or %d", all, os.Getpid(), c.Process.Pid)
	}
	if all := Family("sleep"); slices.Contains(all, c.Process.Pid) {
		t.Errorf("%d is one of %v", c.Process.Pid, all)
	}
}
