package pgtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// children returns the processes that a process has started. Those of Postgres
// start none.
func children(of int) ([]int, error) {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The command, in parentheses, may hold anything; state and parent follow.
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(of) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return nil, err
			}
			found = append(found, pid)
		}
	}
	if len(stats) > 0 {
		return found, nil
	}
	// Other systems than Linux have this, which a small Linux may lack.
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("pgtest: the processes of a server cannot be listed: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		var pid, parent int
		if _, err := fmt.Sscan(line, &pid, &parent); err == nil && parent == of {
			found = append(found, pid)
		}
	}
	return found, nil
}

// alive reports whether a process of a server that is no more still runs.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		// It may be left as a zombie where nobody adopts it.
		return !bytes.Contains(text, []byte(") Z ")) && !bytes.Contains(text, []byte(") X "))
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		return false
	}
	return signal(pid, 0) == nil
}
