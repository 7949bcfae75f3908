package dlock

import (
	"time"

	"github.com/dlock-go/dlock/coordinator"
)

// Stats is what a client has counted since it was made, and what it has to do at
// present. It is meant for monitoring; its fields may be a moment apart.
type Stats struct {
	Holds   int // held at present, by Lock and Acquire
	Waiting int // goroutines that wait at present
	Queued  int // places in the queues of the store at present

	Acquired uint64 // locks taken
	HandedOn uint64 // of these, those handed on in memory, or shared with other readers there
	Lost     uint64 // locks lost
	Missed   uint64 // times that the store did not renew a lease in time, whether or not it was lost after that
	Retries  uint64 // operations sent again, and failed attempts to reach the store
	Batches  uint64 // batches sent to the store, heartbeats not among them
	Ops      uint64 // operations in them

	Wait Histogram // how long those waited that have taken a lock
}

// A Histogram counts durations.
type Histogram struct {
	// Counts has the number of durations below each bound that are not below an
	// earlier one, and at last the number of those above all bounds.
	Counts []uint64
	// Bounds has the upper bounds, in growing order: 1 µs and its doublings.
	Bounds []time.Duration
	// Sum is the sum of all durations.
	Sum time.Duration
}

// Stats returns the client's counters. It is cheap and does not block.
func (c *Client) Stats() Stats {
	k := c.coordinator.Stats()
	s := Stats{
		Holds:    k.Holds,
		Waiting:  k.Waiting,
		Queued:   k.Queued,
		Acquired: k.Acquired,
		HandedOn: k.HandedOn,
		Lost:     k.Lost,
		Missed:   k.Missed,
		Retries:  k.Retries,
		Batches:  k.Batches,
		Ops:      k.Ops,
		Wait:     Histogram{Counts: k.Waits[:], Sum: k.Waited},
	}
	for i := range coordinator.Buckets - 1 {
		s.Wait.Bounds = append(s.Wait.Bounds, time.Microsecond<<i)
	}
	return s
}
