package vote

import (
	"slices"
	"time"
)

// An epoch is the time for which one node knows a session: it ends when the node has not
// heard of the session for its time to live, or has lost its data. Votes are of an epoch
// and end with it.
type epoch struct {
	until time.Time // when it ends at the earliest, by what the node has answered
	over  bool      // the node said so
	end   End       // of one that is over
}

// An End is how an epoch came to its end.
type End uint8

const (
	// Restarted: the server was started anew. It gives no new votes before the time of the
	// epoch would have been over, so what stands on it goes on.
	Restarted End = iota + 1
	// Flushed: the server has lost its data while it ran. It gives no new votes either,
	// unless most of the others have lost theirs as well.
	Flushed
	// Forgotten: the server has all its data and yet does not know the epoch, which has
	// run out by its clock: this machine may have slept. It may have voted for others.
	Forgotten
)

// epochs are an epoch or nil for each node: those of the votes that a hold stands on.
type epochs [MaxNodes]*epoch

// strength is how many epochs can still be renewed.
func (e *epochs) strength() int {
	n := 0
	for _, t := range e {
		if t != nil && !t.over {
			n++
		}
	}
	return n
}

// broken reports whether so many epochs have ended otherwise than by a restart that the
// rest is no majority.
func (e *epochs) broken(majority int) bool {
	n := 0
	for _, t := range e {
		if t != nil && (!t.over || t.end == Restarted) {
			n++
		}
	}
	return n < majority
}

// deadline returns when too few epochs are left for a majority.
func (e *epochs) deadline(majority int) time.Time {
	var ends []time.Time
	for _, t := range e {
		if t != nil {
			ends = append(ends, t.until)
		}
	}
	slices.SortFunc(ends, func(a, b time.Time) int { return b.Compare(a) })
	return ends[majority-1]
}
