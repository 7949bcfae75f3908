package quorum

import (
	"errors"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file is how a session finds out whether nodes still have its votes, which
// somebody may have deleted or a server evicted. The session's mutex is held in all of it.

// checksPerThird is how many acquisitions are checked in a third of the time to live, however
// many there are: all of a thousand within the time to live, at a cost that stays flat.
const checksPerThird = 350

// A rota is the acquisitions of a session, those first that were checked longest ago. The zero
// value is empty.
type rota struct {
	first, last *acquisition
	len         int
}

// push puts b, which is not in it, at the end.
func (r *rota) push(b *acquisition) {
	b.listed, b.prev, b.next = true, r.last, nil
	if r.last == nil {
		r.first = b
	} else {
		r.last.next = b
	}
	r.last = b
	r.len++
}

// remove takes b out, if it is in it.
func (r *rota) remove(b *acquisition) {
	if !b.listed {
		return
	}
	if b.prev == nil {
		r.first = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		r.last = b.prev
	} else {
		b.next.prev = b.prev
	}
	r.len--
	b.listed, b.prev, b.next = false, nil, nil
}

// horizon is for how long nodes keep what is touched now: four times as long as it takes
// until all acquisitions that are before it in the rota were checked, and long after those who
// wait ask again.
func (s *session) horizon() time.Duration {
	return max(12*s.ttl, 10*PollEvery, s.ttl/(3*checksPerThird)*time.Duration(4*s.rota.len))
}

// patrol has the nodes asked whether they still have votes that they gave, for as many
// acquisitions as are due after so long. All nodes are asked about an acquisition at the same time, so
// that one that is gone from most of them is found out by one turn.
func (s *session) patrol(passed time.Duration, now time.Time) {
	share := int(checksPerThird * min(passed, s.ttl/3) / (s.ttl / 3))
	for n := s.rota.len; n > 0 && share > 0; n-- {
		b := s.rota.first
		s.rota.remove(b)
		s.rota.push(b)
		if s.check(b, now) {
			share--
		}
	}
}

// check asks the nodes whether they still have the votes that b counts on, and reports
// whether there was one to ask. A replica that is down is asked as well: the term may go on
// when it is up again.
func (s *session) check(b *acquisition, now time.Time) (asked bool) {
	for i, l := range s.replicas {
		v := &b.votes[i]
		if !v.stands(b) || now.After(v.term.until.Add(s.ttl)) {
			continue // There is none, or the node has ended its term.
		}
		asked = true
		if v.check == nil || v.check.sent && v.check.doubts < b.doubts {
			v.check = &ask{kind: askCheck, bid: b, doubts: b.doubts}
			l.add(v.check)
		}
		v.check.doubts = b.doubts // One that was not sent yet serves for later doubts, too.
	}
	return asked
}

// checked takes a node's answer to a check.
func (s *session) checked(b *acquisition, a *ask, l *replica, word string, now time.Time) {
	v := &b.votes[l.index]
	if v.check == a {
		v.check = nil
	}
	if !v.stands(b) || v.ballot != a.ballot || v.slot != a.slot {
		return // It counts on another vote by now, or on none.
	}
	switch word {
	case "given":
		v.sure = max(v.sure, a.doubts)
		if b.doubts > 0 && b.mendable(now) && s.confirmed(b) {
			s.mend(b, now)
		}
	case "gone":
		v.state, v.missing = voteNone, true
		s.missed(b, l, now)
	}
}

// missed deals with a vote that is gone, though its node has not ended the term: somebody
// else may have been given it since.
func (s *session) missed(b *acquisition, l *replica, now time.Time) {
	b.doubts++
	switch {
	case b.state != bidHolding || b.lost || b.footing.ended(now):
		return
	case b.fresh: // Nobody has been told of it.
		b.footing.holders--
		b.state, b.footing = bidAsking, nil
		return
	}
	k := b.footing.terms
	k[l.index] = nil
	for i := range b.votes {
		if v := &b.votes[i]; v.stands(b) {
			k[i] = v.term
		}
	}
	var f *footing
	if !k.broken(s.majority) {
		f = s.footing(k, now)
	}
	if f == nil || f.ended(now) {
		b.lost = true
		s.tell(backend.Event{Kind: backend.EventLost, Owner: b.op.Owner, Err: s.errMissing(b)})
		return
	}
	if f != b.footing {
		b.footing.holders--
		b.footing = f
		f.holders++
		s.tell(backend.Event{Kind: backend.EventGranted, Owner: b.op.Owner, Grant: s.grant(b, now)})
	}
	s.check(b, now)
}

// confirmed reports whether a majority has said, since the last doubt about b arose, that
// it still has its vote.
func (s *session) confirmed(b *acquisition) bool {
	n := 0
	for i := range b.votes {
		if v := &b.votes[i]; v.stands(b) && v.sure == b.doubts {
			n++
		}
	}
	return n >= s.majority
}

var errMissing = errors.New("the lock is gone: its keys were deleted or evicted")

// errMissing tells where the votes of a hold are gone.
func (s *session) errMissing(b *acquisition) error {
	why := make([]error, len(s.replicas))
	for i, l := range s.replicas {
		switch v := &b.votes[i]; {
		case v.missing:
			why[i] = errMissing
		case !v.stands(b):
			why[i] = l.why()
		}
	}
	return s.quorum.errNodes(why)
}
