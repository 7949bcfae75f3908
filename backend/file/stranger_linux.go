package file

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
)

// strangers returns the programs that hold the lock of the file at path without
// dlock, as far as the system tells. Who has locked one of the boards is none: he
// has not yet said that he holds the file, or says so no more.
func strangers(path string, boards []identity) []backend.Standing {
	id, err := identityAt(path)
	if err != nil || id == (identity{}) {
		return nil
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return nil
	}
	defer f.Close()
	file := id.inKernel()
	sessions := make(map[string]bool, len(boards)) // their files
	for _, b := range boards {
		sessions[b.inKernel()] = true
	}
	known := make(map[int]bool)
	var found []backend.Standing
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF
		// Of those who wait there is "->" after the number.
		words := strings.Fields(lines.Text())
		if len(words) < 6 || words[1] != "FLOCK" {
			continue
		}
		pid, err := strconv.Atoi(words[4])
		switch {
		case err != nil:
		case sessions[words[5]]:
			known[pid] = true
		case words[5] == file:
			s := backend.Standing{Mode: backend.Exclusive}
			s.Host, _ = os.Hostname()
			if s.PID = pid; words[3] == "READ" {
				s.Mode = backend.Shared
			}
			found = append(found, s)
		}
	}
	return slices.DeleteFunc(found, func(s backend.Standing) bool { return known[s.PID] })
}

// lockedUnread reports whether somebody has locked a file that we may not open. Who is
// in another container is not seen, and passes for dead: that costs the place in a
// queue, and not exclusion.
func lockedUnread(path string) bool {
	id, err := identityAt(path)
	if err != nil || id == (identity{}) {
		return false
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return false
	}
	defer f.Close()
	file := id.inKernel()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) >= 6 && words[1] == "FLOCK" && words[5] == file {
			return true
		}
	}
	return false
}

// inKernel returns the file as it stands in /proc/locks.
func (id identity) inKernel() string {
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(id.dev), unix.Minor(id.dev), id.ino)
}
