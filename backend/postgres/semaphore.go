package postgres

import (
	"math/rand/v2"
	"strconv"
)

// slots is what a session knows of a semaphore. A slot is an exclusive lock on one of
// limit keys in a row. Who uses the semaphore shares two keys more, one of which stands
// for its limit, so that all agree on it; a fourth makes sure that they come to that one
// by one.
type slots struct {
	base  int64 // the key of slot 0
	use   int64
	mark  int64
	join  int64
	limit uint32
	first uint32 // the slot to begin with, so that sessions do not all try the same

	joined bool
	taken  map[int64]bool // the slots that the session has: the server would grant them again
}

func newSlots(k Key, limit uint32) *slots {
	return &slots{
		base:  k.derive("slots"),
		use:   k.derive("use"),
		mark:  k.derive("limit " + strconv.FormatUint(uint64(limit), 10)),
		join:  k.derive("join"),
		limit: limit,
		first: rand.Uint32N(limit),
		taken: make(map[int64]bool),
	}
}

// atOnce is how many slots are tried in one go.
const atOnce = 128

// candidates appends the keys of slots to try, beginning with the from-th, and
// returns where to go on; that is limit when there are no more.
func (t *slots) candidates(slots []int64, from uint32) ([]int64, uint32) {
	for n := 0; n < atOnce && from < t.limit; from++ {
		slot := t.base + (int64(t.first)+int64(from))%int64(t.limit)
		if !t.taken[slot] {
			slots = append(slots, slot)
			n++
		}
	}
	return slots, from
}
