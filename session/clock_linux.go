package session

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// jitter is how far two readings of clocks may lie apart without the machine
// having slept in between.
const jitter = 10 * time.Millisecond

var sleptAtStart = bootAhead()

// found is what slept has found out last, and when in terms of the wall clock.
var found atomic.Pointer[finding]

type finding struct{ step, slept time.Duration }

// slept returns how long the machine has been suspended since the start of the
// process, never too little.
//
// The clock that counts sleep costs system calls. But the wall clock goes on
// during a sleep as well, and the monotonic one is slewed as it is: as long as
// they keep their distance the machine has not slept.
func slept(now time.Time) time.Duration {
	s := step(now)
	f := found.Load()
	if f != nil && (s-f.step).Abs() < time.Millisecond {
		return f.slept
	}
	d := bootAhead() - sleptAtStart
	if d < jitter {
		d = 0
	}
	if f != nil {
		d = max(d, f.slept) // Once counted it stays, or leases would outlive their time.
	}
	found.Store(&finding{s, d})
	return d
}

// bootAhead returns how far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC.
func bootAhead() time.Duration {
	var ahead time.Duration
	// A thread that is preempted between two readings would see a sleep where
	// there was none. Read again until the pair is tight; the last try counts
	// either way, for it errs towards a lease that ends too early.
	for range 8 {
		before := clock(unix.CLOCK_MONOTONIC)
		boot := clock(unix.CLOCK_BOOTTIME)
		ahead = boot - before
		if clock(unix.CLOCK_MONOTONIC)-before < jitter/10 {
			break
		}
	}
	return ahead
}

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0 // A kernel without the clock; none that Go runs on lacks them.
	}
	return time.Duration(ts.Nano())
}
