package quorum

import (
	"cmp"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// maxNodes is how many nodes a quorum may have.
const maxNodes = 9

// A term is the time for which one node knows a session: it ends when the node has
// not heard of the session for its time to live, or has lost its data. Votes are of a
// term and end with it. The session's mutex guards it.
type term struct {
	name  string    // at the node
	until time.Time // when it ends at the earliest, by what the node has answered
	over  bool      // the node said so
	end   termEnd   // of one that is over
}

// A termEnd is how a term came to its end.
type termEnd uint8

const (
	// termRestarted: the server was started anew. It gives no new votes before the time of
	// the term would have been over, so what stands on it goes on.
	termRestarted termEnd = iota + 1
	// termFlushed: the server has lost its data while it ran. It gives no new votes
	// either, unless most of the others have lost theirs as well.
	termFlushed
	// termForgotten: the server has all its data and yet does not know the term, which
	// has run out by its clock: this machine may have slept. It may have voted for others.
	termForgotten
)

// leastLeft is how much of a time to live has to remain of a hold when it begins.
func leastLeft(ttl time.Duration) time.Duration { return ttl / 8 }

// A footing is the terms of the votes that holds stand on, and to the outside a
// lease. It ends when too few of its terms are left for a majority: until then nobody
// else can have one. The session's mutex guards it.
type footing struct {
	terms   footingKey
	id      uint32
	until   time.Time
	known   bool      // somebody was told of it
	told    time.Time // the deadline that Apply reported last
	lapsed  bool      // was seen past its deadline
	holders int
}

// A footingKey is a term or nil for each node.
type footingKey [maxNodes]*term

// strength is how many terms can still be renewed.
func (k *footingKey) strength() int {
	n := 0
	for _, t := range k {
		if t != nil && !t.over {
			n++
		}
	}
	return n
}

// broken reports whether so many terms have ended otherwise than by a restart that the
// rest is no majority.
func (k *footingKey) broken(majority int) bool {
	n := 0
	for _, t := range k {
		if t != nil && (!t.over || t.end == termRestarted) {
			n++
		}
	}
	return n < majority
}

// deadline returns when too few terms are left for a majority.
func (k *footingKey) deadline(majority int) time.Time {
	var ends []time.Time
	for _, t := range k {
		if t != nil {
			ends = append(ends, t.until)
		}
	}
	slices.SortFunc(ends, func(a, b time.Time) int { return b.Compare(a) })
	return ends[majority-1]
}

// ended reports whether f is past its deadline, now or ever before.
func (f *footing) ended(now time.Time) bool {
	if !f.lapsed && !now.Before(f.until) {
		f.lapsed = true
	}
	return f.lapsed
}

func (f *footing) lease() backend.Lease { return backend.Lease{ID: f.id, Until: f.until} }

// footing returns what votes of these terms stand on.
func (s *session) footing(k footingKey, now time.Time) *footing {
	f := s.footings[k]
	if f == nil || f.ended(now) {
		s.lastFooting++
		f = &footing{terms: k, id: s.lastFooting, until: k.deadline(s.majority)}
		s.footings[k] = f
	}
	return f
}

// extend moves the deadlines that a renewed term has moved.
func (s *session) extend(now time.Time) {
	for _, f := range s.footings {
		if until := f.terms.deadline(s.majority); !f.ended(now) && until.After(f.until) {
			f.until = until
		}
	}
}

// due returns the leases whose deadline is new, or that too few nodes have renewed for
// the present batch. Those that nothing depends on any more
// are among them: whoever has a hold may not have heard yet that it was moved.
func (s *session) due(leases []backend.Lease, now time.Time) []backend.Lease {
	for k, f := range s.footings {
		switch {
		case f.holders == 0 && (f.ended(now) || k.strength() < s.majority):
			delete(s.footings, k)
		case !f.known || f.ended(now):
			// Nobody has ever heard of it, or it is not to be heard of again.
		case f.until.After(f.told):
			f.told = f.until
			leases = append(leases, f.lease())
		case f.holders > 0 && s.unrenewed(f.until) && s.forsaken(f, now):
			lease := f.lease()
			lease.Err = s.errFooting(f)
			leases = append(leases, lease)
		}
	}
	return leases
}

// unrenewed reports whether a deadline is from before the present batch.
func (s *session) unrenewed(until time.Time) bool {
	return until.Before(s.batch.began.Add(s.ttl - redislock.Drift(s.ttl)))
}

// forsaken reports whether too few nodes are about to renew a footing.
func (s *session) forsaken(f *footing, now time.Time) bool {
	n := 0
	for i, l := range s.replicas {
		if t := f.terms[i]; t != nil && !t.over && !l.silent(now) {
			n++
		}
	}
	return n < s.majority
}

// errFooting tells why a footing was not renewed.
func (s *session) errFooting(f *footing) error {
	why := make([]error, len(s.replicas))
	for i, l := range s.replicas {
		switch t := f.terms[i]; {
		case t == nil:
		case t.over:
			why[i] = errOver
		case s.unrenewed(t.until):
			why[i] = cmp.Or(l.why(), redislock.ErrStraggler)
		}
	}
	return s.quorum.errNodes(why)
}
