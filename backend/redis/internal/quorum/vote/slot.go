package vote

import "github.com/dlock-go/dlock/backend"

// A quorum grants each slot of a semaphore by a majority of its own. Counting the
// holders on each node instead would be wrong: of three nodes and a limit of two, the
// holders by the nodes 1 and 2, 2 and 3, 1 and 3 are three.

// pick returns a slot that a majority may have free, as far as nodes have told, and
// that no other acquisition of this session goes for.
func (m *Machine) pick(a *acquisition) (uint32, bool) {
	if a.op.Class != backend.Semaphore {
		return 0, false
	}
	takers := make(map[uint32]int) // by slot: the nodes that have given it away
	for slot, other := range m.slots[a.lock] {
		if other != a {
			takers[slot] = len(m.nodes)
		}
	}
	for i := range a.votes {
		if v := &a.votes[i]; v.answers(a, voteBusy) {
			for _, r := range v.rivals {
				takers[r.Slot]++
			}
		}
	}
	limit := uint64(a.op.Limit)
	start := m.Random.Uint64N(limit)
	// All slots but those that somebody has told of are free: of so many and one
	// more the search meets one, if there is one.
	best, found := uint32(0), false
	for i := range min(limit, uint64(len(takers))+1) {
		slot := uint32((start + i) % limit)
		n := takers[slot]
		if n == 0 {
			return slot, true
		}
		if n <= len(m.nodes)-m.majority && (!found || n < takers[best]) {
			best, found = slot, true
		}
	}
	return best, found
}

// goFor has a go for a slot.
func (m *Machine) goFor(a *acquisition, slot uint32) {
	if a.op.Class != backend.Semaphore {
		return
	}
	m.leaveSlot(a)
	a.slot = slot
	if m.slots[a.lock] == nil {
		m.slots[a.lock] = make(map[uint32]*acquisition)
	}
	m.slots[a.lock][slot] = a
}

func (m *Machine) leaveSlot(a *acquisition) {
	slots := m.slots[a.lock]
	if slots[a.slot] == a {
		if delete(slots, a.slot); len(slots) == 0 {
			delete(m.slots, a.lock)
		}
	}
}

// taken reports whether a majority of the nodes keeps a from all that it could have. If
// not, its rivals have prevented each other, or are about to leave. unknown is how many
// nodes have not told. What they may have given to a rival does not count: that rival may
// think the same of a, and if both took it for the holder they would wait for each other.
func (m *Machine) taken(a *acquisition, unknown int) bool {
	nodes := make(map[Rival]int) // by rival: those that it has
	others := 0                  // nodes that reserve the lock for others, which is not for long
	for i := range a.votes {
		v := &a.votes[i]
		if v.answers(a, voteReserved) {
			others++
		}
		if v.answers(a, voteBusy) {
			for _, r := range v.rivals {
				nodes[r]++
			}
		}
	}
	if others > 0 && others+unknown >= m.majority {
		return true
	}
	full := make(map[uint32]bool)
	for r, n := range nodes {
		if n >= m.majority {
			full[r.Slot] = true
		}
	}
	return uint64(len(full)) >= uint64(a.op.Limit)
}
