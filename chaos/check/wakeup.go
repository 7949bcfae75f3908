package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/fault"
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
			killed := func(f *fault.Event) bool {
				return dead && f.Kind == "kill worker" && f.Slot == g.after.process.Slot
			}
			w, over, excuse := h.waiter(name, g, bound, killed)
			if w == nil {
				continue // Nobody wanted it.
			}
			to := min(g.to, w.waited())
			if dead && g.to != never {
				h.left[g.after.process]++
			}
			i.judge(over, excuse)
			if excuse == "" {
				i.took(to - g.from)
				if !dead {
					waits = append(waits, to-g.from)
				}
			}
			if over > 0 {
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

// waiter returns who waited longest, as far as nothing excuses it, of those who did so
// from the begin of a gap to its end, or for longer than the bound.
func (h *history) waiter(name int, g gap, bound int64, but func(*fault.Event) bool) (longest *Hold, over int64, excuse string) {
	if g.from >= h.Drain {
		return nil, 0, ""
	}
	all := h.waits[name]
	n, _ := slices.BinarySearchFunc(all, g.from, func(o *Hold, t int64) int { return cmp.Compare(o.call, t) })
	var line crew
	for k := n - 1; k >= 0 && k >= n-256; k-- {
		w := all[k]
		if w.try || w.process.Prober {
			continue
		}
		until := w.waited()
		if until < g.to && (until <= g.from+bound || until == never) {
			continue
		}
		to := min(g.to, until)
		if line == 0 && to-g.from > bound {
			line = h.inLine(name, g.from, to)
		}
		if o, e := h.late(name, line|of(w.process), g.from, to, bound, but); longest == nil || o > over {
			longest, over, excuse = w, o, e
		}
	}
	return longest, over, excuse
}
