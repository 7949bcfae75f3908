package check

import (
	"cmp"
	"slices"
	"time"

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
	byName := make([][]*stay, h.Names+1)
	for _, s := range h.stays {
		if s.name >= 0 && s.name < h.Names {
			byName[s.name] = append(byName[s.name], s)
		}
	}
	for name, stays := range byName {
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
				if h.unsure(a) || h.disturbed(a.queued, b.taken) || a.process.stalled(a.queued, b.taken) || b.process.stalled(b.asked, b.taken) {
					i.Excused++
					continue
				}
				i.Checked++
				if min(a.taken, a.left) <= b.taken || b.mode == backend.Shared && h.turnOfReaders(stays, a, b) {
					continue
				}
				if h.Class == backend.Semaphore && min(a.taken, a.left) <= b.taken+int64(h.Promise.Woken) {
					continue
				}
				i.violate("name %d: worker %d (owner %d) waited at the store since %s, worker %d (owner %d) asked at %s and was first, at %s",
					name, a.process.Slot, a.owner, h.at(a.queued), b.process.Slot, b.owner, h.at(b.asked), h.at(b.taken))
			}
		}
	}
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
				if h.unsure(a) || h.disturbed(a.queued, b.granted) || a.process.stalled(a.queued, b.granted) || b.process.stalled(a.queued, b.granted) {
					i.Excused++
					continue
				}
				i.Checked++
				over := b.granted - max(a0.granted, a.queued) - int64(b.process.Handoff)
				if over > int64(slack) || b.process.Handoff == 0 {
					i.violate("name %d: worker %d waited at the store since %s, and %s was handed the lock in memory", name, a.process.Slot, h.at(a.queued), h.tell(b))
				}
			}
		}
	}
}

// unsure reports whether somebody was told to wait who may not have stood in the queue:
// so late that the store may have said it without knowing, or behind another one whose
// place was the only one of their session.
func (h *history) unsure(a *stay) bool {
	return h.Promise.Single && a.behind || h.Promise.Unseen != 0 && a.queued-a.asked >= int64(h.Promise.Unseen)
}

// ranks reports whether a stay is worth comparing.
func (h *history) ranks(s *stay) bool { return !s.process.Prober }

// turnOfReaders reports whether b, a reader, may have been let in before a, a
// writer, because so many writers had passed the readers.
func (h *history) turnOfReaders(stays []*stay, a, b *stay) bool {
	for _, w := range stays {
		if w.mode == backend.Exclusive && w != a && b.asked <= w.taken && w.taken <= b.taken {
			return true
		}
	}
	return false
}

// writersWait is the second half of 4: while a writer waits, readers alone hold
// the lock for no longer than the longest of their holds and a second, or the
// time that the store has to wake somebody where that is longer.
func (h *history) writersWait(i *Invariant) {
	if h.Class != backend.RWMutex {
		return
	}
	grace := max(time.Second, h.Promise.Woken)
	for name, holds := range h.names {
		for _, w := range h.waits[name] {
			if w.mode != backend.Exclusive || w.try || w.process.Prober || name == h.Names {
				continue
			}
			until := w.waited()
			if until == never || until-w.call < int64(grace) {
				if w.granted != 0 {
					i.Checked++
				}
				continue
			}
			if h.disturbed(w.call, until) || w.process.stalled(w.call, until) {
				i.Excused++
				continue
			}
			i.Checked++
			// The stretches without a writer, and the longest reader in each. That nobody
			// at all holds is looked at elsewhere.
			from, longest := w.call, int64(0)
			judge := func(to int64) {
				if d := to - from - longest; longest > 0 && d > int64(grace) {
					i.violate("name %d: the writer %s waited for %v beside readers that held for %v at most",
						name, h.tell(w), time.Duration(to-from), time.Duration(longest))
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
		}
	}
}

func (p *Process) killedBy() int64 {
	if p.Killed == 0 {
		return never
	}
	return p.Killed
}
