package testbed

import (
	"time"

	"golang.org/x/sys/unix"
)

// An Instant is a reading of the machine's clock in nanoseconds, which all its
// processes share.
type Instant int64

// Now returns the present Instant.
func Now() Instant {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // Linux has had this clock for ever.
	}
	return Instant(t.Nano())
}

// Add returns the instant that is d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Sleep waits until an instant.
func (i Instant) Sleep() { time.Sleep(i.Sub(Now())) }

// await waits until an instant to the microsecond, and keeps a thread for it. The
// timers of an idle Go process are late by up to a millisecond.
func (i Instant) await() {
	t := unix.NsecToTimespec(int64(i))
	for i > Now() {
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &t, nil) // Signals end it.
	}
}
