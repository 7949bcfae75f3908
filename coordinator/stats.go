package coordinator

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is how many buckets a histogram of waits has: bucket i counts waits of
// less than 2^i µs that are in no earlier one, and the last one all that are
// longer.
const Buckets = 28

// Stats is what a coordinator has counted since its beginning, and what it has
// to do at present.
type Stats struct {
	Holds, Waiting, Queued   int
	Acquired, HandedOn, Lost uint64
	Missed                   uint64
	Retries, Batches, Ops    uint64
	Waits                    [Buckets]uint64
	Waited                   time.Duration
}

// counters are written by run alone and read by anybody.
type counters struct {
	holds, waiting, queued   atomic.Int64
	acquired, handedOn, lost atomic.Uint64
	missed                   atomic.Uint64
	retries, batches, ops    atomic.Uint64
	waits                    [Buckets]atomic.Uint64
	waited                   atomic.Int64
}

// granted counts a grant after a wait.
func (s *counters) granted(via Via, wait time.Duration) {
	s.acquired.Add(1)
	if via == Memory {
		s.handedOn.Add(1)
	}
	wait = max(wait, 0)
	s.waits[min(bits.Len64(uint64(wait/time.Microsecond)), Buckets-1)].Add(1)
	s.waited.Add(int64(wait))
}

// present notes what there is to do.
func (s *counters) present(m *Machine) {
	set(&s.holds, m.holds)
	set(&s.waiting, m.waiting)
	set(&s.queued, m.places)
}

// set spares the store to memory that others read when nothing has changed.
func set(g *atomic.Int64, n int) {
	if g.Load() != int64(n) {
		g.Store(int64(n))
	}
}

// Stats returns the counters. They are read one by one, while others may change.
func (c *Coordinator) Stats() Stats {
	k := &c.counters
	s := Stats{
		Holds:    int(k.holds.Load()),
		Waiting:  int(k.waiting.Load()),
		Queued:   int(k.queued.Load()),
		Acquired: k.acquired.Load(),
		HandedOn: k.handedOn.Load(),
		Lost:     k.lost.Load(),
		Missed:   k.missed.Load(),
		Retries:  k.retries.Load(),
		Batches:  k.batches.Load(),
		Ops:      k.ops.Load(),
		Waited:   time.Duration(k.waited.Load()),
	}
	for i := range s.Waits {
		s.Waits[i] = k.waits[i].Load()
	}
	return s
}
