package coordinator

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/chain"
)

// A lock is what a process knows of one lock: its own waiters, and its entries
// at the store. It exists while there are any.
type lock struct {
	class backend.Class
	name  string
	limit uint32 // most entries that may hold exclusively at the same time

	exclusive queue // waiters, in order of arrival
	shared    queue

	// Entries at the store, by state. A try is counted only once it is granted.
	// Entries that wait at the store, in the order in which they were asked for. Any one
	// can leave at once: a semaphore may have thousands, of which all are withdrawn together.
	placesExclusive places // asked or queued
	placesShared    places
	holding         int    // granted and exclusive
	sharing         int    // granted and shared
	all             int    // of any state but releasing
	open            *entry // the shared entry that new readers may join
	sole            *entry // the exclusive entry, granted, of a lock with a limit of 1

	// contended is when somebody elsewhere was first known to wait, or zero.
	// contendedBy is the last owner that had been asked for when it was heard
	// of last: a later one's grant that is not contended proves that they are
	// gone.
	contended   time.Time
	contendedBy uint64

	passed int  // writers in a row that passed a waiting reader here
	wrote  bool // this process was the last to release it here, as a writer
	dirty  bool // to be settled before the next batch
}

// A queue holds claims in order of arrival. Of ten thousand waiters any one may be
// cancelled, and leaves at once.
type queue = chain.List[Claim]

// places are entries in the order in which they were asked for.
type places = chain.List[entry]

// places returns the entries that wait at the store for mode.
func (l *lock) places(mode backend.Mode) *places {
	if mode == backend.Shared {
		return &l.placesShared
	}
	return &l.placesExclusive
}

// waiters returns the queue of claims that wait for mode.
func (l *lock) waiters(mode backend.Mode) *queue {
	if mode == backend.Shared {
		return &l.shared
	}
	return &l.exclusive
}

// wanted is how many places at the store the waiters for mode are worth.
func (l *lock) wanted(mode backend.Mode) int {
	switch {
	case mode == backend.Exclusive:
		return min(l.exclusive.Len(), int(int64(l.limit)-int64(l.holding)))
	case l.shared.Len() == 0:
		return 0
	case l.holding > 0:
		// A place that there is is kept, but none is taken while a writer of this
		// process is in: what is asked for when it leaves comes in time.
		return l.placesShared.Len()
	}
	return 1 // Readers come in together.
}

// readersFirst reports whether the waiting readers go before the waiting writers:
// in their turn, and in the order of arrival as long as no write lock was released.
func (l *lock) readersFirst() bool {
	switch {
	case l.shared.Len() == 0 || l.exclusive.Len() == 0:
		return l.shared.Len() > 0
	case l.passed >= backend.MaxWriters:
		return true
	}
	return !l.wrote && l.shared.First().seq < l.exclusive.First().seq
}

// writerGoesFirst reports whether a writer of this process that waits without a place
// has to be in the store's queue before a write lock is released: readers of this
// process stand there already.
func (l *lock) writerGoesFirst() bool {
	return l.placesShared.Len() > 0 && l.exclusive.Len() > 0 && l.placesExclusive.Len() == 0 && l.passed < backend.MaxWriters
}

// full reports whether a try is refused without asking the store, because of what
// this process holds or waits for.
func (l *lock) full(mode backend.Mode) bool {
	if mode == backend.Shared {
		return l.holding > 0 || l.exclusive.Len() > 0
	}
	return l.sharing > 0 || int64(l.holding) >= int64(l.limit) ||
		stands(&l.placesExclusive) || stands(&l.placesShared)
}

// idle reports whether nothing is left to know about the lock.
func (l *lock) idle() bool {
	return l.all == 0 && l.exclusive.Len() == 0 && l.shared.Len() == 0
}

// stands reports whether the store is known to let the first of them wait.
func stands(p *places) bool { return p.Len() > 0 && p.First().state == queued }
