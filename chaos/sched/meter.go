// Package sched asks the system for how long threads were ready to run and had to wait
// for a processor: what a process does later because of that is no fault of its own.
package sched

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A Meter remembers how long each thread had waited when it was last asked.
type Meter struct{ waited map[string]time.Duration }

// Waited returns the longest that any thread of these processes has waited since the
// last call, as far as it has run since then. Threads that are new count from then on.
func (m *Meter) Waited(pids []int) time.Duration {
	now := make(map[string]time.Duration, len(m.waited))
	var most time.Duration
	for _, pid := range pids {
		threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
		for _, t := range threads {
			d, ok := waited(t + "/schedstat")
			if !ok {
				continue // It has ended just now, or the system does not count.
			}
			now[t] = d
			if before, ok := m.waited[t]; ok {
				most = max(most, d-before)
			}
		}
	}
	m.waited = now
	return most
}

// waited reads the second of three numbers: nanoseconds on a queue of a processor.
func waited(path string) (time.Duration, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(f[1]), 10, 64)
	return time.Duration(n), err == nil
}

// Family returns this process and all that descend from it, but for those of a name.
func Family(but string) []int {
	var all []int
	for next := []int{os.Getpid()}; len(next) > 0; next = next[1:] {
		pid := next[0]
		comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
		if string(bytes.TrimSpace(comm)) == but {
			continue
		}
		all = append(all, pid)
		lists, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
		for _, l := range lists {
			b, _ := os.ReadFile(l)
			for _, f := range bytes.Fields(b) {
				if n, err := strconv.Atoi(string(f)); err == nil {
					next = append(next, n)
				}
			}
		}
	}
	return all
}
