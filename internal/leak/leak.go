// Package leak finds the goroutines that something has left behind, whatever runs
// beside it.
package leak

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// label is the key of a profiler's label: goroutines inherit it from those who
// started them, and so it tells whose they are.
const label = "leak"

var marks atomic.Uint64

// Watch calls f, and returns a function that lists the stacks of the goroutines that
// f has started, or those have, and that are still there.
func Watch(f func()) (left func() []string) {
	mark := strconv.FormatUint(marks.Add(1), 10)
	pprof.Do(context.Background(), pprof.Labels(label, mark), func(context.Context) { f() })
	return func() (stacks []string) {
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			return []string{err.Error()}
		}
		for stack := range strings.SplitSeq(profile.String(), "\n\n") {
			if strings.Contains(stack, fmt.Sprintf("%q:%q", label, mark)) {
				stacks = append(stacks, stack)
			}
		}
		return stacks
	}
}

// Gone waits until left lists nothing, for so long at most, and returns what is left.
// A goroutine that has done its last act may take a moment to go.
func Gone(left func() []string, patience time.Duration) (stacks []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if stacks = left(); len(stacks) == 0 || time.Now().After(deadline) {
			return stacks
		}
	}
}
