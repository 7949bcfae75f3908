package dlocktest

import (
	"runtime"
	"strings"
	"time"
)

// goroutines returns the stacks of all goroutines by their headers' numbers.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		stacks[id] = stack
	}
	return stacks
}

// noneSince fails the test unless all goroutines that were not there before have
// ended. One that has done its last act may take a moment to go.
func (f *fixture) noneSince(before map[string]string) {
	f.Helper()
	for deadline := time.Now().Add(f.Patience); ; time.Sleep(time.Millisecond) {
		left := goroutines()
		for id := range before {
			delete(left, id)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, stack := range left {
				f.Errorf("a goroutine is left:\n%s", stack)
			}
			return
		}
	}
}
