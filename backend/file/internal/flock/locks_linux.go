package flock

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Locks returns the locks of the machine that the system tells us of. Those of another
// container it does not.
func Locks() []Lock {
	f, err := os.Open("/proc/locks")
	if err != nil {
		return nil
	}
	defer f.Close()
	var locks []Lock
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF
		// Of those who wait there is "->" after the number.
		words := strings.Fields(lines.Text())
		if len(words) < 6 || words[1] != "FLOCK" {
			continue
		}
		var major, minor uint32
		l := Lock{Shared: words[3] == "READ"}
		if _, err := fmt.Sscanf(words[4]+" "+words[5], "%d %x:%x:%d", &l.PID, &major, &minor, &l.File.ino); err == nil {
			l.File.dev = unix.Mkdev(major, minor)
			locks = append(locks, l)
		}
	}
	return locks
}
