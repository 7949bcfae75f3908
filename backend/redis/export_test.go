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
