package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// runsUs reports whether a process is an ancestor of this one. What was left in the
// background by a command that has ended is no child of its dlock any more.
func runsUs(pid int) bool {
	for p := os.Getppid(); p > 0; {
		if p == pid {
			return true
		}
		// 4711 (name) S 4710 …
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			return false
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			return false
		}
		if p, err = strconv.Atoi(string(fields[1])); err != nil {
			return false
		}
	}
	return false
}
