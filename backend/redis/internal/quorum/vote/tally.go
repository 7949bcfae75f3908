package vote

import (
	"errors"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A tally counts the votes of an acquisition.
type tally struct {
	nodes    int
	given    int
	pending  int // asked, and expected to answer soon
	unfit    int // the token was refused
	busy     int // others are in the way, or have a better right
	withheld int // the node may not vote yet
	limit    int
	failed   int
	denied   int // of those that failed
	unasked  int
	silent   int // down or late
	wait     time.Duration
	err      error
}

// A verdict is what a tally means.
type verdict uint8

const (
	won        verdict = iota + 1 // a majority has voted for it
	otherLimit                    // too many nodes use the semaphore with another limit
	denied                        // too many nodes do not let the session do this, now and later
	failing                       // too many nodes fail or are silent
	pending                       // answers are to come that may decide
	unasked                       // nodes were not asked in this round
	unfit                         // a majority would vote for another token
	unheard                       // too few nodes answer
	beaten                        // others are in the way
)

// verdict returns what t means. It does not look at who the others are, nor at the time.
func (t *tally) verdict() verdict {
	majority := Majority(t.nodes)
	veto := t.nodes - majority + 1 // nodes without which there is no majority
	possible := t.given + t.pending
	switch {
	case t.given >= majority:
		return won
	case t.limit >= veto:
		return otherLimit
	case t.denied >= veto:
		return denied
	case t.failed > 0 && t.failed+t.silent >= veto && t.pending == 0:
		return failing
	case possible >= majority:
		return pending
	case t.unasked > 0:
		return unasked
	case possible+t.unfit >= majority && t.unfit > 0:
		return unfit
	}
	return t.verdictOnOthers()
}

// verdictOnOthers is the verdict where no token would help.
func (t *tally) verdictOnOthers() verdict {
	veto := t.nodes - Majority(t.nodes) + 1
	switch {
	case t.pending > 0 && t.busy < veto:
		return pending // What the others say tells more.
	case t.silent >= veto && t.busy < veto, t.unfit+t.busy+t.withheld+t.limit+t.failed == 0:
		return unheard
	}
	return beaten
}

// count returns the tally of an acquisition.
func (m *Machine) count(a *acquisition, now time.Time) tally {
	t := tally{nodes: len(m.nodes)}
	for i := range a.votes {
		v, n := &a.votes[i], m.nodes[i]
		switch {
		case m.wins(a, v, now):
			t.given++
		case v.stands(a) && n.silent(now):
			t.silent++
		case v.stands(a):
			t.unasked++
		case v.round != a.round && n.silent(now):
			t.silent++
		case v.round != a.round || v.state == voteNone || v.state == voteGiven:
			t.unasked++
		case v.state == voteAsked && n.silent(now):
			t.silent++
		case v.state == voteAsked:
			t.pending++
		case v.state == voteUnfit:
			t.unfit++
		case v.state == voteBusy, v.state == voteReserved:
			t.busy++
		case v.state == voteWithheld:
			t.withheld++
			if t.wait == 0 || v.wait < t.wait {
				t.wait = v.wait
			}
		case v.state == voteLimit:
			t.limit++
		case v.state == voteFailed:
			t.failed++
			t.err = fmt.Errorf("%s: %w", m.Nodes[i], v.err)
			if errors.Is(v.err, backend.ErrDenied) {
				t.denied++
			}
		}
	}
	return t
}

// errWithheld tells why nodes do not vote yet.
func (t *tally) errWithheld() error {
	return fmt.Errorf("dlock: %d of %d nodes have lost their data or are new, and take part again in %v, when all leases of before are over",
		t.withheld, t.nodes, t.wait.Round(time.Millisecond))
}
