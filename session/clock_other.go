//go:build !linux

package session

import "time"

// step is the smallest advance of the wall clock over the monotonic one that is
// taken for a sleep of the machine.
const step = time.Second

// slept returns how long the machine has been suspended since the start of the
// process. Where the system offers no clock that tells, it is how far the wall
// clock has run ahead of the monotonic one. A wall clock that was set forward
// looks the same and ends leases too early, which is the safe error.
func slept() time.Duration {
	now := time.Now()
	d := now.Round(0).Sub(origin.Round(0)) - now.Sub(origin)
	if d < step {
		return 0
	}
	return d
}
