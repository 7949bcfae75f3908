package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// turns are the grants of a reader-writer lock by the store, in order.
type turns struct {
	grants []*stay
	run    []int // how many writers there are in a row, up to each grant
}

func turnsOf(stays []*stay) *turns {
	t := new(turns)
	for _, s := range stays {
		if s.granted != never {
			t.grants = append(t.grants, s)
		}
	}
	slices.SortStableFunc(t.grants, func(a, b *stay) int { return cmp.Compare(a.granted, b.granted) })
	n := 0
	for _, s := range t.grants {
		if s.mode == backend.Shared {
			n = 0
		} else {
			n++
		}
		t.run = append(t.run, n)
	}
	return t
}

// from is the index of the first grant at or after a time.
func (t *turns) from(at int64) int {
	i, _ := slices.BinarySearchFunc(t.grants, at, func(s *stay, at int64) int { return cmp.Compare(s.granted, at) })
	return i
}

// before is how many writers in a row there were before the turn in which b was granted.
func (t *turns) before(b *stay) int {
	i := t.from(b.taken)
	for i > 0 && (i >= len(t.grants) || t.grants[i].mode == backend.Shared) {
		i--
	}
	if len(t.grants) == 0 {
		return 0
	}
	return t.run[i]
}

// tell says of a reader after how many writers it came.
func (t *turns) tell(b *stay) string {
	if b.mode != backend.Shared {
		return ""
	}
	return fmt.Sprintf(", to read after %d writers in a row", t.before(b))
}

// readersTurn is 16: while a reader waits at the store, no more than so many writers in a
// row are granted the lock. That it is not fewer is for the order to say.
func (h *history) readersTurn(i *Invariant) {
	if h.Class != backend.RWMutex {
		return
	}
	for name, stays := range h.byName {
		t := turnsOf(stays)
		for _, r := range stays {
			if r.mode != backend.Shared || r.queued == never || r.process.Prober {
				continue
			}
			until := min(r.taken, r.left)
			if until == never {
				until = h.Drain
			}
			n, most := 0, 0
			for k := t.from(r.queued); k < len(t.grants) && t.grants[k].granted <= until; k++ {
				if t.grants[k].mode == backend.Shared {
					n = 0
					continue
				}
				n++
				most = max(most, n)
			}
			if most <= h.Promise.Turns.Most {
				if most > 0 {
					i.Checked++
					i.most(most)
				}
				continue
			}
			if f := h.touched(name, of(r.process), r.queued, until); f != nil {
				i.excuse(f.Kind)
				continue
			}
			i.Checked++
			i.violate("name %d: worker %d (owner %d) waited to read since %s, and %d writers in a row passed it until %s",
				name, r.process.Slot, r.owner, h.at(r.queued), most, h.at(until))
		}
	}
}

// stayed returns the stays of each name, by when they were asked for.
func (h *history) stayed() [][]*stay {
	byName := make([][]*stay, h.Names+1)
	for _, s := range h.stays {
		if s.name >= 0 && s.name < h.Names {
			byName[s.name] = append(byName[s.name], s)
		}
	}
	return byName
}

// writersWait is the second part of 4: while a writer waits, readers alone hold the lock
// for no longer than the longest of their holds, and the two wake-ups before and after
// it.
func (h *history) writersWait(i *Invariant) {
	if h.Class != backend.RWMutex {
		return
	}
	grace := 2 * int64(h.Promise.Woken)
	for name, holds := range h.names {
		for _, w := range h.waits[name] {
			if w.mode != backend.Exclusive || w.try || w.process.Prober || name == h.Names {
				continue
			}
			until := min(w.waited(), h.Drain)
			if until-w.call < grace {
				if w.granted != 0 {
					i.Checked++
				}
				continue
			}
			// The stretches without a writer, and the longest reader in each. That nobody
			// at all holds is looked at elsewhere.
			from, longest, worst, excuse := w.call, int64(0), int64(-1), ""
			judge := func(to int64) {
				if longest == 0 || to <= from {
					return
				}
				o, e := h.late(name, h.inLine(name, from, to)|of(w.process), from, to, grace+longest, nil)
				if o > 0 {
					i.violate("name %d: the writer %s waited for %v beside readers that held for %v at most",
						name, h.tell(w), time.Duration(to-from), time.Duration(longest))
				}
				worst = max(worst, o)
				if e != "" {
					excuse = e
				}
			}
			first, _ := slices.BinarySearchFunc(holds, w.call-int64(time.Minute), func(o *Hold, t int64) int { return cmp.Compare(o.granted, t) })
			for _, o := range holds[first:] {
				if o.granted >= until {
					break
				}
				end := min(o.released, o.process.killedBy())
				if end <= from {
					continue
				}
				if o.mode == backend.Exclusive {
					judge(min(o.granted, until))
					from, longest = end, 0
					continue
				}
				longest = max(longest, end-max(o.granted, from))
			}
			if from < until {
				judge(until)
			}
			i.judge(worst, excuse)
		}
	}
}

// readersMeet is the third part of 4: who wants to read is let in beside those who read,
// as long as nobody holds or wants the lock exclusively.
func (h *history) readersMeet(i *Invariant) {
	if h.Class != backend.RWMutex {
		return
	}
	bound := 2 * int64(h.Promise.Woken)
	for name, waits := range h.waits {
		var writers []span
		for _, o := range waits {
			if o.mode == backend.Exclusive {
				writers = append(writers, span{o.call, h.through(o)})
			}
		}
		writers = merge(writers)
		for _, r := range waits {
			if r.mode != backend.Shared || r.try || r.process.Prober || r.call >= h.Drain {
				continue
			}
			until := min(r.waited(), h.Drain)
			if until-r.call <= bound {
				if r.granted != 0 {
					i.Checked++
				}
				continue
			}
			worst, excuse := int64(-1), ""
			from := r.call
			judge := func(to int64) {
				if to <= from {
					return
				}
				o, e := h.late(name, h.inLine(name, from, to)|of(r.process), from, to, bound, nil)
				if o > 0 {
					i.violate("name %d: %s wanted to read for %v, and nobody wanted to write", name, h.tell(r), time.Duration(to-from))
				}
				worst = max(worst, o)
				if e != "" {
					excuse = e
				}
			}
			for _, w := range within(writers, r.call, until) {
				judge(min(w.from, until))
				from = max(from, w.to)
			}
			judge(until)
			i.judge(worst, excuse)
		}
	}
}

// through is when the store has surely heard that an attempt, or its hold, is over.
func (h *history) through(o *Hold) int64 {
	switch {
	case o.granted == 0 && o.failed != 0:
		return o.failed + int64(h.Promise.Woken)
	case o.confirmed && min(o.signal, o.lost) == never:
		return o.released
	}
	if at := min(o.released, o.process.killedBy()); at != never {
		return at + h.forgotten()
	}
	return never
}
