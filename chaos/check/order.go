package check

import (
	"cmp"
	"slices"

	"github.com/dlock-go/dlock/backend"
)

// order is 6: who was known to wait at the store before another asked for the
// same lock is granted it before that one.
//
// Those who read come in together, and before writers when it is their turn, so
// only two writers are compared, and a reader with a writer that waited when it
// came. Of tickets several may be given out in one moment, and the news of them
// take their time.
func (h *history) order(i *Invariant) {
	if !h.Promise.Caps.Queue {
		i.Note = h.Promise.Unordered
		return
	}
	for name, stays := range h.byName {
		turns := turnsOf(stays)
		waiting := slices.Clone(stays)
		slices.SortStableFunc(waiting, func(a, b *stay) int { return cmp.Compare(a.queued, b.queued) })
		var queue []*stay // that waited when b asked, and may not be through
		next := 0
		for _, b := range stays { // by asked
			for next < len(waiting) && waiting[next].queued < b.asked {
				queue = append(queue, waiting[next])
				next++
			}
			queue = slices.DeleteFunc(queue, func(a *stay) bool { return min(a.taken, a.left) <= b.asked })
			if b.taken == never || !h.ranks(b) {
				continue
			}
			for _, a := range queue {
				if a == b || a.mode == backend.Shared {
					continue
				}
				if min(a.taken, a.left) <= b.taken || b.mode == backend.Shared && turns.before(b) >= h.Promise.Turns.Least {
					i.Checked++
					continue
				}
				if h.unsure(a) {
					i.excuse("no place yet")
					continue
				}
				// Only what happens to a, to the lock or to the store can cost a its place.
				if f := h.touched(name, of(a.process), a.queued, b.taken); f != nil {
					i.excuse(f.Kind)
					continue
				}
				i.Checked++
				if h.Class == backend.Semaphore && h.together(a, b) {
					continue
				}
				i.violate("name %d: worker %d (owner %d) waited at the store since %s, worker %d (owner %d) asked at %s and was first, at %s%s",
					name, a.process.Slot, a.owner, h.at(a.queued), b.process.Slot, b.owner, h.at(b.asked), h.at(b.taken), turns.tell(b))
			}
		}
	}
}

// together reports whether a may have had its ticket before b: by their numbers, or since
// a has only heard of it later.
func (h *history) together(a, b *stay) bool {
	return a.taken != never && a.ordinal != 0 && a.ordinal < b.ordinal ||
		min(a.taken, a.left) <= b.taken+int64(blink)+h.stillness(of(a.process), a.queued, min(a.taken, a.left))
}

// handovers is the other half of 6: a process does not hand a lock on among its
// goroutines, for longer than it may, to somebody who came when another process
// was known to wait at the store.
func (h *history) handovers(i *Invariant) {
	if h.Class == backend.Semaphore || !h.Promise.Caps.Queue {
		return
	}
	queues := make([][]*stay, h.Names+1) // of those that waited, by when that was known
	for _, s := range h.stays {
		if s.queued != never && s.name >= 0 && s.name < h.Names && s.mode == backend.Exclusive {
			queues[s.name] = append(queues[s.name], s)
		}
	}
	for name, queue := range queues {
		slices.SortFunc(queue, func(a, b *stay) int { return cmp.Compare(a.queued, b.queued) })
		first := make(map[sessionKey]*Hold)
		next := 0
		var waiting []*stay
		for _, b := range h.names[name] {
			if b.mode != backend.Exclusive || b.process.Prober || b.session == 0 {
				continue
			}
			k := sessionKey{b.process, b.session, b.owner}
			a0 := first[k]
			if a0 == nil {
				first[k] = b
				continue // By the store: its order is looked at elsewhere.
			}
			for next < len(queue) && queue[next].queued < b.granted {
				waiting = append(waiting, queue[next])
				next++
			}
			waiting = slices.DeleteFunc(waiting, func(a *stay) bool { return min(a.taken, a.left) < b.granted })
			for _, a := range waiting {
				if a.process == b.process && a.session == b.session || a.queued > b.call {
					continue
				}
				since := max(a0.granted, a.queued)
				bound := int64(b.process.Handoff)
				if h.Promise.Caps.Contended && a.queued > a0.granted {
					bound += int64(h.Promise.Woken) // till the holder is told that a waits
				}
				over, excuse := h.late(name, of(b.process), since, b.granted, bound, nil)
				if over <= 0 && b.process.Handoff > 0 {
					i.judge(over, excuse)
					continue
				}
				if h.unsure(a) {
					i.excuse("no place yet")
					continue
				}
				if f := h.touched(name, of(a.process)|of(b.process), a.queued, b.granted); f != nil {
					i.excuse(f.Kind)
					continue
				}
				i.Checked++
				if b.process.Handoff == 0 || over > 0 {
					i.violate("name %d: worker %d waited at the store since %s, and %s was handed the lock in memory", name, a.process.Slot, h.at(a.queued), h.tell(b))
				}
			}
		}
	}
}

// fairness is 17: where there is no order, who is known to wait is passed by so many later
// ones of other workers at most.
func (h *history) fairness(i *Invariant) {
	if h.Promise.Passed == 0 {
		return
	}
	for name, stays := range h.byName {
		for k, a := range stays {
			if a.queued == never || a.process.Prober {
				continue
			}
			until := min(a.taken, a.left, h.Drain)
			passed := 0
			for _, b := range stays[k+1:] {
				if b.asked > until {
					break
				}
				if b.mode == a.mode && b.asked > a.queued && b.taken < until && b.process != a.process {
					passed++
				}
			}
			if f := h.touched(name, of(a.process), a.queued, until); f != nil {
				if passed > h.Promise.Passed {
					i.excuse(f.Kind)
				}
				continue
			}
			if passed > h.Promise.Passed {
				// The lock is kept for it for a while only.
				if h.stillness(of(a.process), a.queued, until) > int64(h.Promise.Kept) {
					i.excuse(stood)
					continue
				}
				i.violate("name %d: worker %d (owner %d) waited since %s, and until %s %d who came later were first",
					name, a.process.Slot, a.owner, h.at(a.queued), h.at(until), passed)
			}
			i.Checked++
			i.most(passed)
		}
	}
}

// unsure reports whether somebody was told to wait who may not have stood in the queue:
// so late that the store may have said it without knowing, or behind another one whose
// place was the only one of their session.
func (h *history) unsure(a *stay) bool {
	return h.Promise.Single && a.behind || h.Promise.Unseen != 0 && a.queued-a.since >= int64(h.Promise.Unseen)
}

// ranks reports whether a stay is worth comparing.
func (h *history) ranks(s *stay) bool { return !s.process.Prober }

func (p *Process) killedBy() int64 {
	if p.Killed == 0 {
		return never
	}
	return p.Killed
}
