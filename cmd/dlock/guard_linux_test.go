package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The process beside each command that runs takes little memory.
func TestGuardIsSmall(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(guardShell); err != nil {
		t.Skip("no shell here")
	}
	p := newStore(t).holder()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.cmd.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	// The guard is started by any thread.
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		more, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", p.cmd.Process.Pid, thread.Name()))
		children = append(children, more...)
	}
	found := false
	for _, child := range strings.Fields(string(children)) {
		line, _ := os.ReadFile("/proc/" + child + "/cmdline")
		if !strings.Contains(string(line), guardName) {
			continue
		}
		found = true
		status, err := os.ReadFile("/proc/" + child + "/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil || kilobytes > 6<<10 {
			t.Errorf("%d kB of memory, of which most is shared (%v)", kilobytes, err)
		}
	}
	if !found {
		t.Error("there is no guard")
	}
	p.enter("")
	p.exits(0, "done\n")
}
