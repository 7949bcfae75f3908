package session

import (
	"sync"
	"time"
)

// leap is the smallest step of the wall clock that is taken for a sleep.
const leap = time.Second

// leaps adds up by how much a wall clock has leapt forward. When it is set back, the
// sum stays: an Instant must not go back, or leases would outlive their time.
type leaps struct {
	mu   sync.Mutex
	last time.Duration // the step at the last leap
	sum  time.Duration
}

// count takes how far the wall clock is ahead of the monotonic one, and returns the
// sum.
func (l *leaps) count(step time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := step - l.last
	if d.Abs() >= leap {
		l.last = step
		l.sum += max(d, 0)
	}
	return l.sum
}
