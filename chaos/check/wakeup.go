package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A gap is a time in which a lock could have been granted to somebody more.
type gap struct {
	from, to int64
	after    *Hold // whose end began it
}

// wakeups is 7 and 9. It looks for the gaps of each name, and for somebody who
// waited through the whole of one that is longer than was promised.
func (h *history) wakeups(v *Verdict) {
	if !h.Promise.Caps.Processes {
		v.Invariants[9].Note = "the store ends with its process"
	}
	var waits []int64
	for name := range h.names {
		for _, g := range h.gaps(name) {
			dead := g.after.process.Killed != 0 && g.from == g.after.process.Killed
			i, bound := &v.Invariants[7], int64(h.Promise.Woken)
			if dead {
				i, bound = &v.Invariants[9], int64(h.Promise.Killed)
			}
			w := h.waiter(name, g, bound)
			if w == nil {
				continue // Nobody wanted it.
			}
			to := min(g.to, w.waited())
			still := h.stillness(g.from, to)
			if h.excused(g, dead) || !dead && still > 0 {
				i.Excused++
				continue
			}
			if dead {
				bound += still // There is always somebody who stands still for a moment in so long a time.
			}
			i.Checked++
			i.took(to - g.from)
			if !dead {
				waits = append(waits, to-g.from)
			}
			if to-g.from > bound {
				i.violate("name %d: free since the end of %s at %s, and %s still waits after %v",
					name, h.tell(g.after), h.at(g.from), h.tell(w), time.Duration(to-g.from))
			}
		}
	}
	v.Waits = quantiles(waits)
}

// gaps returns the gaps of a name that began with a release that was confirmed or
// with the death of a holder. A grant ends the gap that began first.
func (h *history) gaps(name int) []gap {
	type change struct {
		at    int64
		start bool
		hold  *Hold
	}
	var changes []change
	for _, o := range h.names[name] {
		until := o.released
		if !o.confirmed || min(o.signal, o.lost) != never {
			// When the store let go of it is not known. It has by then.
			until = never
			if at := min(o.signal, o.lost, o.released); at != never {
				until = at + int64(h.TTL+h.Promise.Killed)
			}
		}
		if k := o.process.Killed; k != 0 {
			until = min(until, max(k, o.granted))
		}
		changes = append(changes, change{o.granted, true, o}, change{until, false, o})
	}
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b2i(a.start), b2i(b.start)))
	})
	limit := 1
	if h.Class == backend.Semaphore {
		limit = h.Limit
	}
	var gaps []gap
	n, open := 0, 0 // gaps[open:] have not ended
	for _, c := range changes {
		if c.at == never {
			break
		}
		if c.start {
			n++
			if open < len(gaps) {
				gaps[open].to = c.at
				open++
			}
			continue
		}
		n--
		known := c.hold.confirmed && min(c.hold.signal, c.hold.lost) == never || c.at == c.hold.process.Killed
		if n < limit && known {
			gaps = append(gaps, gap{c.at, never, c.hold})
		}
	}
	return gaps
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// waiter returns somebody who waited from the begin of a gap to its end, or for
// longer than the bound.
func (h *history) waiter(name int, g gap, bound int64) *Hold {
	all := h.waits[name]
	n, _ := slices.BinarySearchFunc(all, g.from, func(o *Hold, t int64) int { return cmp.Compare(o.call, t) })
	for k := n - 1; k >= 0 && k >= n-256; k-- {
		w := all[k]
		if w.try || w.process.Prober {
			continue
		}
		if until := w.waited(); until >= g.to || until > g.from+bound && until < never {
			return w
		}
	}
	return nil
}

// excused reports whether a fault may have made a gap longer.
func (h *history) excused(g gap, dead bool) bool {
	to := min(g.to, g.from+int64(h.Promise.Killed))
	for _, f := range h.Faults {
		if f.Touches(g.from, to) && !(dead && f.Kind == "kill worker" && f.Slot == g.after.process.Slot) {
			return true
		}
	}
	return g.from >= h.Drain
}

// stillness is how long, at most, somebody stood still between two times: it may have
// been his turn. The servers did if the controller did.
func (h *history) stillness(from, to int64) int64 {
	var sum int64
	add := func(a, b int64) { sum += max(0, min(b, to)-max(a, from)) }
	for _, s := range h.Stalls {
		add(s.From, s.To)
	}
	for _, p := range h.Processes {
		for _, s := range p.stalls {
			add(s.from, s.to)
		}
	}
	return sum
}
