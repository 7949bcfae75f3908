package session

import (
	"math"
	"sync/atomic"
)

// A Lease is the local deadline of the holds that depend on it. Its owner, the
// coordinator, extends it; holders may ask at any time and from any goroutine
// whether it has lapsed, and the first to see it past its deadline ends it for
// good: a late extension no longer revives it, for by then somebody was told
// that the lock is lost.
type Lease struct {
	// until is an Instant, never for a lease without a deadline, or lapsed.
	until atomic.Int64
}

const (
	never  = math.MaxInt64
	lapsed = math.MinInt64
)

// NewLease returns a lease without a deadline.
func NewLease() *Lease {
	l := new(Lease)
	l.until.Store(never)
	return l
}

// LapsedLease returns a lease that has lapsed.
func LapsedLease() *Lease {
	l := new(Lease)
	l.until.Store(lapsed)
	return l
}

// Extend moves the deadline to until, never back. It has no effect on a lease that
// was seen past its deadline, and then returns false.
func (l *Lease) Extend(until Instant) bool {
	for {
		old := l.until.Load()
		switch {
		case old == lapsed:
			return false
		case old != never && old >= int64(until):
			return true
		case l.until.CompareAndSwap(old, int64(until)):
			return true
		}
	}
}

// Until returns the deadline; ok is false when there is none or it has passed.
func (l *Lease) Until() (until Instant, ok bool) {
	u := l.until.Load()
	return Instant(u), u != never && u != lapsed
}

// Over reports whether somebody has seen the lease past its deadline.
func (l *Lease) Over() bool { return l.until.Load() == lapsed }

// Lapsed reports whether the lease is past its deadline, now or ever before.
func (l *Lease) Lapsed() bool {
	for {
		switch u := l.until.Load(); {
		case u == never:
			return false
		case u == lapsed:
			return true
		case int64(Now()) < u:
			return false
		case l.until.CompareAndSwap(u, lapsed):
			return true
		}
	}
}
