package redis

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// WithHorizon returns the store with keys that expire so long after they were
// last touched.
func WithHorizon(st *Store, d time.Duration) *Store {
	other := *st
	e := *st.engine.(*single)
	e.horizon = d
	other.engine = &e
	return &other
}

// FitEvery returns the store with sessions that look so often whether their servers are fit.
func FitEvery(st *Store, d time.Duration) *Store {
	other := *st
	switch e := st.engine.(type) {
	case *single:
		changed := *e
		changed.fitEvery = d
		other.engine = &changed
	case *quorum:
		changed := *e
		changed.fitEvery = d
		other.engine = &changed
	}
	return &other
}

// Tags returns the hash tags of a cluster.
func Tags() []string { return tags[:] }

// Bucket returns in which bucket of a cluster a mutex lies.
func Bucket(name string) int { return bucketOf(backend.Mutex, name) }

// Slot returns in which slot a bucket lies.
func Slot(bucket int) int { return slotOf(tags[bucket]) }

// PollEvery is how often a quorum's session looks after what it has.
const PollEvery = pollEvery

// ClockAhead returns the store of a machine whose clock is so far ahead.
func ClockAhead(st *Store, d time.Duration) *Store {
	other := *st
	e := *st.engine.(*quorum)
	e.ahead = d
	other.engine = &e
	return &other
}

// Sizes returns how much a session keeps, by what it is.
func Sizes(s backend.Session) map[string]int {
	size := make(map[string]int)
	switch s := s.(type) {
	case *session:
		s.mu.Lock()
		defer s.mu.Unlock()
		size["claims"], size["events"], size["results"], size["leases"] = len(s.claims), cap(s.events), cap(s.results), cap(s.leases)
		size["connections"] = s.wire.size()
		for _, b := range s.buckets {
			if b != nil {
				size["buckets"]++
				size["requests"] += cap(b.requests)
				size["arguments"] += cap(b.args)
				size["listed"] += b.held.len + b.queued.len
				size["counted"] += b.claims
			}
		}
	case *quorumSession:
		s.mu.Lock()
		defer s.mu.Unlock()
		size["bids"], size["slots"], size["footings"], size["alarms"] = len(s.bids), len(s.slots), len(s.footings), len(s.alarms.queue)
		size["events"], size["deciding"], size["results"] = cap(s.events), len(s.deciding), cap(s.batch.results)
		for _, l := range s.lines {
			size["connections"] += l.wire.size()
			size["asks"] += len(l.queue) + len(l.sent) + len(l.owed)
			size["room for asks"] += cap(l.queue) + cap(l.sent)
			size["arguments"] += cap(l.args)
		}
	}
	return size
}

// size returns how many connections there are, or are being made.
func (w *wire) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns) + len(w.dials)
}

// Prefix returns what the keys of a store begin with.
func Prefix(st *Store) string { return st.prefix }
