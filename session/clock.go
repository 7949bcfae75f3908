package session

import "time"

// An Instant is a point on the clock by which leases are measured: nanoseconds
// since the start of the process, never set back, and going on while the machine
// sleeps. Go's monotonic clock stands still then on most systems, and a lease
// that lapsed during the sleep would seem to be alive after it.
type Instant int64

// origin is where the process's Instants start.
var origin = time.Now()

// Now returns the present Instant.
func Now() Instant {
	now := time.Now()
	return At(now, slept(now))
}

// At returns the Instant of t, given how long the machine had slept by then.
func At(t time.Time, slept time.Duration) Instant {
	return Instant(t.Sub(origin) + slept)
}

// step is how far the wall clock has run ahead of the monotonic one since the
// start of the process: by the sleep of the machine, and by what it was set.
func step(now time.Time) time.Duration {
	return now.Round(0).Sub(origin.Round(0)) - now.Sub(origin)
}
