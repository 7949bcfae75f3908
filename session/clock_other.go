//go:build !linux

package session

import "time"

// leap is the smallest step of the wall clock that is taken for a sleep.
const leap = time.Second

// slept returns how long the machine has been suspended since the start of the
// process. Where the system offers no clock that tells, it is how far the wall
// clock has run ahead of the monotonic one. A wall clock that was set forward
// looks the same and ends leases too early, which is the safe error.
func slept(now time.Time) time.Duration {
	if d := step(now); d >= leap {
		return d
	}
	return 0
}
