package check

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/fault"
)

// exclusion sweeps over the holds of each name in the order of their grants, and
// looks for those that cannot be together: 1, 4 and 5.
func (h *history) exclusion(v *Verdict) {
	number := map[backend.Class]int{backend.Mutex: 1, backend.RWMutex: 4, backend.Semaphore: 5}[h.Class]
	i := &v.Invariants[number]
	together := 0
	for name := range h.names {
		var active []*Hold
		for _, b := range h.names[name] {
			kept := active[:0]
			for _, a := range active {
				if a.end > b.granted {
					kept = append(kept, a)
				}
			}
			active = kept
			if b.end <= b.granted {
				continue // Over before it was known.
			}
			i.Checked++
			if h.Class == backend.Semaphore {
				if len(active) >= h.Limit {
					// It is one too many until the first of them ends.
					until := b.end
					for _, a := range active {
						until = min(until, a.end)
					}
					h.overlap(i, active[0], b, until)
				}
			} else {
				for _, a := range active {
					if a.exclusive(h.Class) || b.exclusive(h.Class) {
						h.overlap(i, a, b, min(a.end, b.end))
					}
				}
			}
			active = append(active, b)
			together = max(together, len(active))
		}
	}
	switch {
	case h.Class == backend.RWMutex && together < 2:
		v.Void = append(v.Void, "no two readers were ever in at the same time")
	case h.Class == backend.Semaphore && together < h.Limit:
		v.Void = append(v.Void, "a semaphore was never full")
	}
}

// overlap judges two holds that cannot be together, and are from b's grant to
// until: a fault of the store, of the lock or of one of the two workers may have allowed
// that, for as long as was named before.
func (h *history) overlap(i *Invariant, a, b *Hold, until int64) {
	d := until - b.granted
	for _, f := range h.Faults {
		if f.Overlap == 0 || f.Begin > b.granted || !concerns(f, b.name, of(a.process)|of(b.process)) {
			continue
		}
		// Who stands still does nothing before it is told.
		still := h.stillness(of(a.process)|of(b.process), f.Begin, until)
		if until <= f.End+int64(f.Overlap)+still && d <= int64(f.Overlap)+still {
			i.took(max(0, d-still))
			i.excuse(f.Kind)
			return
		}
	}
	i.took(d)
	i.violate("name %d: %s and %s hold at the same time for %v", b.name, h.tell(a), h.tell(b), time.Duration(d))
}

// registers is 2.
func (h *history) registers(i *Invariant, v *Verdict) {
	for name, r := range h.Registers {
		i.Checked += int(r.Fenced.Accepted)
		v.Refused += r.Fenced.Refused
		v.Plain += r.Plain.Lost()
		v.PlainAll += r.Plain.Accepted
		if n := r.Fenced.Lost(); n != 0 {
			i.violate("name %d: the fenced register lost %d of %d increments", name, n, r.Fenced.Accepted)
		}
	}
}

// tokens is 3. A hold that began after another one had ended was granted after it,
// unless a fault took it away before its holder had heard of it.
func (h *history) tokens(i *Invariant) {
	if !h.Promise.Caps.Fencing {
		i.Note = "the store claims none"
		return
	}
	for name, holds := range h.names {
		seen := make(map[uint64]*Hold, len(holds))
		var active []*Hold
		var greatest *Hold // of those that have ended
		for _, b := range holds {
			i.Checked++
			if b.token == 0 {
				i.violate("name %d: %s has no token", name, h.tell(b))
				continue
			}
			if a := seen[b.token]; a != nil {
				i.violate("name %d: %s and %s have the same token", name, h.tell(a), h.tell(b))
			}
			seen[b.token] = b
			if b.end <= b.granted {
				continue
			}
			kept := active[:0]
			for _, a := range active {
				switch {
				case a.end > b.granted:
					kept = append(kept, a)
				case greatest == nil || a.token > greatest.token:
					greatest = a
				}
			}
			active = append(kept, b)
			// Those with tickets and those who read may be granted in any order.
			if b.exclusive(h.Class) && greatest != nil && greatest.token > b.token {
				if f := h.stale(b, greatest); f != nil {
					i.excuse(f.Kind)
					continue
				}
				i.violate("name %d: %s was over when %s began, and has the greater token", name, h.tell(greatest), h.tell(b))
			}
		}
	}
}

// stale returns a fault that may have freed the lock for next after b was granted it, and
// before b was told, who then was told of it after next was over. b rests on a lease from
// before, and for as long as two may hold it does no more harm than a holder who was not
// told of the loss.
func (h *history) stale(b, next *Hold) *fault.Event {
	for _, f := range h.Faults {
		if f.Overlap > 0 && concerns(f, b.name, of(b.process)) &&
			f.Begin <= next.granted && b.granted <= f.End+int64(f.Overlap)+h.stillness(of(b.process), f.Begin, b.granted) &&
			b.deadline <= f.End+int64(h.TTL) {
			return f
		}
	}
	return nil
}
