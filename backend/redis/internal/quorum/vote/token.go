package vote

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// tokens proposes the tokens of acquisitions. A token is a time as ordinals are counted:
// that of this machine's clock, corrected by what nodes say of theirs, and above all that
// this session has proposed or heard of.
type tokens struct {
	random *rand.Rand
	last   uint64        // proposed
	ahead  time.Duration // of the nodes before this machine's clock
}

// next returns a token above all before.
func (t *tokens) next(now time.Time) uint64 {
	t.last = max(t.last+1, backend.OrdinalAt(now.Add(t.ahead)))
	return t.last
}

// An offer is what is known of the tokens that a node would grant: more than floor
// and at most ceiling. Of a node that has not refused any both are unknown.
type offer struct {
	floor   uint64
	ceiling uint64 // 0 if unknown
}

func (o offer) takes(token uint64) bool {
	return token > o.floor && (o.ceiling == 0 || token <= o.ceiling)
}

// above returns a token that enough nodes would grant. A node that was led astray by
// somebody's bad clock is left out where the others are enough. Rivals that refuse
// each other's tokens part by margin, which they choose at random.
func (t *tokens) above(offers []offer, enough int, margin uint64, now time.Time) uint64 {
	token := t.next(now) // Candidates are tried from the highest downwards.
	candidates := []uint64{token}
	for _, o := range offers {
		candidates = append(candidates, o.floor+1)
		if o.ceiling != 0 {
			candidates = append(candidates, o.ceiling)
		}
	}
	slices.Sort(candidates)
	for _, candidate := range slices.Backward(candidates) {
		takers := 0
		for _, o := range offers {
			if o.takes(candidate) {
				takers++
			}
		}
		if takers >= enough {
			token = candidate
			break
		}
	}
	if margin > 0 {
		token += t.random.Uint64N(margin)
	}
	// What is learned here serves the next acquisitions, which are then granted at once.
	t.last = token
	if d := backend.OrdinalTime(token).Sub(now); d > t.ahead || d < 0 {
		t.ahead = d
	}
	return token
}
