package check

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/journal"
)

// leftovers is 10: after everybody has given back and given up everything, the
// clients have nothing, the processes end with the goroutines and descriptors
// that they began with, and the store is empty.
func (h *history) leftovers(i *Invariant) {
	for _, p := range h.Processes {
		if p.Killed != 0 {
			continue
		}
		closed := false
		for k := range p.Records {
			r := &p.Records[k]
			switch r.Kind {
			case journal.Drained:
				i.Checked++
				if r.V[1] != 0 || r.V[2] != 0 || r.V[3] != 0 || r.V[4] != 0 {
					i.violate("worker %d, client %d: %d holds, %d waiters, %d places and %d owners at the store when nobody wants anything",
						p.Slot, r.V[0], r.V[1], r.V[2], r.V[3], r.V[4])
				}
			case journal.Closed:
				closed = true
				i.Checked++
				if r.V[1] > r.V[0] {
					i.violate("worker %d: %d goroutines at first, %d at last", p.Slot, r.V[0], r.V[1])
				}
				if r.V[3] > r.V[2] {
					i.violate("worker %d: %d descriptors at first, %d at last", p.Slot, r.V[2], r.V[3])
				}
			}
		}
		if !closed {
			i.violate("worker %d did not come to an end: %s", p.Slot, p.Failed)
		}
	}
	i.Checked++
	for _, l := range h.Leaks {
		i.violate("the store: %s", l)
	}
}

// crowds is 11. Without a crowd nothing is judged.
func (h *history) crowds(i *Invariant) {
	most := 1
	if h.Class == backend.Semaphore {
		most = h.Limit
	}
	for name, n := range h.seen {
		if h.crowd >= 100 {
			i.Checked++
		}
		if n > most {
			i.violate("name %d: a client had %d places at the store, and %d would do", name, n, most)
		}
	}
}

// recovery is 12.
func (h *history) recovery(i *Invariant) {
	for _, p := range h.Processes {
		if !p.Prober {
			continue
		}
		for k := range p.Records {
			r := &p.Records[k]
			switch r.Kind {
			case journal.Grant:
				i.Checked++
				i.took(r.At - h.Over)
				if d := time.Duration(r.At - h.Over); d > h.Patience {
					i.violate("a name could only be had %v after the last fault", d)
				}
			case journal.Fail:
				i.Checked++
				i.violate("a name could not be had: %s", r.Text)
			}
		}
	}
	if i.Checked == 0 {
		i.violate("nobody could try")
	}
}
