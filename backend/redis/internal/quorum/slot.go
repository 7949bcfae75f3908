package quorum

import (
	"math/rand/v2"

	"github.com/dlock-go/dlock/backend"
)

// A quorum grants each slot of a semaphore by a majority of its own. Counting the
// holders on each node instead would be wrong: of three nodes and a limit of two, the
// holders by the nodes 1 and 2, 2 and 3, 1 and 3 are three.

// pick returns a slot that a majority may have free, as far as nodes have told, and
// that no other acquisition of this session goes for.
func (s *session) pick(b *acquisition) (uint32, bool) {
	if b.op.Class != backend.Semaphore {
		return 0, false
	}
	takers := make(map[uint32]int) // by slot: the nodes that have given it away
	for slot, other := range s.slots[b.lock] {
		if other != b {
			takers[slot] = len(s.replicas)
		}
	}
	for i := range b.votes {
		if v := &b.votes[i]; v.state == voteBusy && v.round == b.round {
			for _, r := range v.rivals {
				takers[r.slot]++
			}
		}
	}
	limit := uint64(b.op.Limit)
	start := rand.Uint64N(limit)
	// All slots but those that somebody has told of are free: of so many and one
	// more the search meets one, if there is one.
	best, found := uint32(0), false
	for i := range min(limit, uint64(len(takers))+1) {
		slot := uint32((start + i) % limit)
		n := takers[slot]
		if n == 0 {
			return slot, true
		}
		if n <= len(s.replicas)-s.majority && (!found || n < takers[best]) {
			best, found = slot, true
		}
	}
	return best, found
}

// goFor has b go for a slot.
func (s *session) goFor(b *acquisition, slot uint32) {
	if b.op.Class != backend.Semaphore {
		return
	}
	s.leaveSlot(b)
	b.slot = slot
	if s.slots[b.lock] == nil {
		s.slots[b.lock] = make(map[uint32]*acquisition)
	}
	s.slots[b.lock][slot] = b
}

func (s *session) leaveSlot(b *acquisition) {
	slots := s.slots[b.lock]
	if slots[b.slot] == b {
		if delete(slots, b.slot); len(slots) == 0 {
			delete(s.slots, b.lock)
		}
	}
}

// taken reports whether a majority of the nodes keeps b from all that it could have. If
// not, its rivals have prevented each other, or are about to leave. unknown is how many
// nodes have not told. What they may have given to a rival does not count: that rival may
// think the same of b, and if both took it for the holder they would wait for each other.
func (s *session) taken(b *acquisition, unknown int) bool {
	nodes := make(map[rival]int) // by rival: those that it has
	kept := 0                    // nodes that keep the lock for others, and not for long
	for i := range b.votes {
		v := &b.votes[i]
		if v.round != b.round {
			continue
		}
		if v.state == voteKept {
			kept++
		}
		if v.state == voteBusy {
			for _, r := range v.rivals {
				nodes[r]++
			}
		}
	}
	if kept > 0 && kept+unknown >= s.majority {
		return true
	}
	full := make(map[uint32]bool)
	for r, n := range nodes {
		if n >= s.majority {
			full[r.slot] = true
		}
	}
	return uint64(len(full)) >= uint64(b.op.Limit)
}
