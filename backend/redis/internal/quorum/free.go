package quorum

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// This file is how an acquisition ends at the nodes. The session's mutex is held in all of it.

// prove begins to find out whether a hold that is released was one until then.
func (s *session) prove(b *acquisition, now time.Time) {
	if b.fresh {
		return // Nobody was told that it is held.
	}
	b.granted = true
	for i := range b.votes {
		v := &b.votes[i]
		v.tried = false
		switch t := b.footing.terms[i]; {
		case v.stands(b), v.open > 0 && v.touched != nil:
			v.proof = proofOpen
		case t != nil && t.over && t.end == termRestarted && now.Before(t.until):
			v.proof = proofKept
		}
	}
}

// answered takes a node's answer to a release.
func (v *vote) answered(a *ask, had bool) {
	if v.proof != proofOpen {
		return
	}
	v.proof = proofNone
	if had || a.again { // What was there, the first one may have released.
		v.proof = proofKept
	}
}

// ended takes the end of the term that a vote may have been given in.
func (v *vote) ended(how termEnd) {
	if v.proof != proofOpen {
		return
	}
	v.proof = proofNone
	if how == termRestarted || v.free != nil && v.free.sent {
		v.proof = proofKept
	}
}

// freed returns the answer to a Release, if there is one.
func (s *session) freed(b *acquisition, now time.Time, late bool) (backend.Result, bool) {
	var freed, pending, refusing, kept, open int
	hope := false // an answer that is still to come tells whether it was held
	why := make([]error, len(s.replicas))
	for i := range b.votes {
		v, l := &b.votes[i], s.replicas[i]
		switch {
		case v.freed:
			freed++
		case v.refusal != nil:
			refusing++
			why[i] = v.refusal
		case l.state == lineUp:
			pending++
		case redisconn.Refusal(l.err) != nil:
			refusing++
			fallthrough
		default:
			why[i] = l.why()
		}
		switch v.proof {
		case proofKept:
			kept++
		case proofOpen:
			open++
			hope = hope || !l.silent(now)
		}
	}
	switch {
	case freed >= s.majority && b.granted && kept+open < s.majority:
		return backend.Result{State: backend.NotHeld}, true
	case freed >= s.majority && b.granted && kept < s.majority && hope && !late:
		return backend.Result{}, false
	case freed >= s.majority:
		return backend.Result{State: backend.Released}, true
	case freed+pending >= s.majority:
		return backend.Result{}, false
	case refusing > 0 && freed+pending+refusing >= s.majority:
		return backend.Result{State: backend.Refused, Err: s.quorum.errNodes(why)}, true
	}
	return backend.Result{State: backend.Unknown, Err: s.quorum.errNodes(why)}, true
}

// giveBack has all nodes release what they have given b, or still may.
func (s *session) giveBack(b *acquisition) {
	for i, l := range s.replicas {
		v := &b.votes[i]
		if v.ask != nil {
			l.withdraw(v.ask)
			v.ask = nil
		}
		held := b.state == bidFreeing && b.footing != nil
		v.state = voteNone
		switch {
		case v.open == 0 && (l.term == nil || v.touched != l.term):
			v.freed = true // The node knows nothing of it, and will not hear of it.
		case v.dirty || v.free == nil && !v.freed:
			v.dirty, v.freed, v.refusal = false, false, nil
			v.free = &ask{kind: askFree, bid: b, flag: held, again: v.tried}
			v.tried = true
			l.add(v.free)
		}
	}
	s.leaveSlot(b)
}

// settle has the node asked again to release what it has refused to, for acquisitions that
// nobody else asks about.
func (l *replica) settle() {
	for _, b := range l.owed {
		if v := &b.votes[l.index]; v.free == nil && v.touched == l.term && l.term != nil {
			v.free = &ask{kind: askFree, bid: b}
			l.add(v.free)
		}
	}
	l.owed = nil
}

// errAway tells why nodes do not vote yet.
func (s *session) errAway(t tally) error {
	return fmt.Errorf("dlock: %d of %d nodes have lost their data or are new, and take part again in %v, when all leases of before are over",
		t.away, len(s.replicas), t.wait.Round(time.Millisecond))
}
