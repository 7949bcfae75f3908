package session

import (
	"time"

	"golang.org/x/sys/unix"
)

// jitter is how far two readings of clocks may lie apart without the machine
// having slept in between.
const jitter = 10 * time.Millisecond

var sleptAtStart = bootAhead()

// slept returns how long the machine has been suspended since the start of the
// process, never too little.
func slept() time.Duration {
	d := bootAhead() - sleptAtStart
	if d < jitter {
		return 0
	}
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
