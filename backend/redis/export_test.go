package redis

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/single"
)

// WithHorizon returns the store with keys that expire so long after they were
// last touched.
func WithHorizon(st *Store, d time.Duration) *Store {
	other := *st
	e := *st.engine.(*single.Engine)
	e.Horizon = d
	other.engine = &e
	return &other
}

// FitEvery returns the store with sessions that look so often whether their servers are fit.
func FitEvery(st *Store, d time.Duration) *Store {
	other := *st
	switch e := st.engine.(type) {
	case *single.Engine:
		changed := *e
		changed.FitEvery = d
		other.engine = &changed
	case *quorum.Engine:
		changed := *e
		changed.FitEvery = d
		other.engine = &changed
	}
	return &other
}

// Tags returns the hash tags of a cluster.
func Tags() []string { return single.Tags[:] }

// Bucket returns in which bucket of a cluster a mutex lies.
func Bucket(name string) int { return single.ShardOf(backend.Mutex, name) }

// Slot returns in which slot a bucket lies.
func Slot(bucket int) int { return single.SlotOf(single.Tags[bucket]) }

// PollEvery is how often a quorum's session looks after what it has.
const PollEvery = vote.PollEvery

// ClockAhead returns the store of a machine whose clock is so far ahead.
func ClockAhead(st *Store, d time.Duration) *Store {
	other := *st
	e := *st.engine.(*quorum.Engine)
	e.Ahead = d
	other.engine = &e
	return &other
}

// Sizes returns how much a session keeps, by what it is.
func Sizes(s backend.Session) map[string]int {
	return s.(interface{ Sizes() map[string]int }).Sizes()
}

// Prefix returns what the keys of a store begin with.
func Prefix(st *Store) string { return st.prefix }
