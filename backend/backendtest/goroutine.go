package backendtest

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
)

func checkGoroutines(f *fixture) {
	b := f.open()
	f.close(f.bare(b)) // what a Backend starts once is not counted
	before := goroutines()
	var sessions []backend.Session
	for range 5 {
		s := f.bare(b)
		sessions = append(sessions, s)
		op := mutex("a")
		op.Do, op.Owner, op.Wait = backend.Acquire, 1, true
		if _, _, err := s.Apply(context.Background(), []backend.Op{op}); err != nil {
			f.Fatalf("Apply: %v", err)
		}
	}
	for _, s := range sessions {
		f.close(s)
	}
	deadline := time.Now().Add(f.bound())
	for {
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
		time.Sleep(time.Millisecond)
	}
}

// goroutines returns the stacks of all goroutines by their headers' numbers.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		stacks[id] = stack
	}
	return stacks
}
