//go:build !linux

package session

import "time"

var leapt leaps

// slept returns how long the machine has been suspended since the start of the
// process. Where the system offers no clock that tells, it is by how much the wall
// clock has leapt ahead of the monotonic one. A wall clock that was set forward looks
// the same and ends leases too early, which is the safe error.
func slept(now time.Time) time.Duration { return leapt.count(step(now)) }
