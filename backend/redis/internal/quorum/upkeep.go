package quorum

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

const (
	// PollEvery is how often those who wait ask without being told to: a push may
	// be lost, and a node may have come back without knowing of them.
	PollEvery = 900 * time.Millisecond
	// mendsPerBatch bounds for how long a server is kept from others by a session that
	// has many holds to mend there.
	mendsPerBatch = 128
)

// upkeep polls for those who wait, has votes checked, and mends holds. s.mu is held, as
// in all of this file.
func (s *session) upkeep(now time.Time) {
	passed := now.Sub(s.mended)
	if passed < min(PollEvery, s.ttl/4) {
		return
	}
	s.mended = now
	s.patrol(passed, now)
	for _, b := range s.acquisitions {
		if b.state == bidWaiting && now.Sub(b.polled) > PollEvery {
			s.attempt(b, now)
		}
	}
	s.mendAll(now)
}

// mendAll mends all holds.
func (s *session) mendAll(now time.Time) {
	for _, b := range s.acquisitions {
		if b.mendable(now) {
			s.mend(b, now)
		}
	}
}

// mendable reports whether b is a hold that its caller relies on.
func (b *acquisition) mendable(now time.Time) bool {
	return b.state == bidHolding && !b.fresh && !b.lost && !b.footing.ended(now)
}

// mend moves a hold to a better footing, and asks nodes that have come back, or were
// not heard in time, for the votes that it lacks: so a hold outlives the restart of all
// nodes, one after another.
func (s *session) mend(b *acquisition, now time.Time) {
	s.restand(b, now)
	if !s.trusted(b) {
		return
	}
	for i, l := range s.replicas {
		switch v := &b.votes[i]; {
		case !v.lacks(b, l) || v.lacking || l.silent(now):
		case v.doubted && !s.confirmed(b):
			s.check(b, now)
		default:
			v.lacking = true
			l.lacks = append(l.lacks, b)
			l.wake()
		}
	}
}

// doubt begins a time in which nothing is mended: where one node has forgotten the session
// the others may have, too, and somebody else may have held what is to be mended.
func (s *session) doubt(now time.Time) {
	s.doubted = now
	for _, l := range s.replicas {
		l.renew()
	}
}

// renewed takes the renewal of a term that was asked for at before.
func (s *session) renewed(t *term, before, now time.Time) {
	was := s.trusts(t)
	t.until = before.Add(s.ttl - redislock.Drift(s.ttl))
	s.extend(now)
	if !was && s.trusts(t) {
		s.mendAll(now)
	}
}

// trusts reports whether a node has renewed its term since a node was found to have
// forgotten the session.
func (s *session) trusts(t *term) bool {
	return t.until.After(s.doubted.Add(s.ttl - redislock.Drift(s.ttl)))
}

// trusted reports whether b has a majority by nodes that have not forgotten the session.
func (s *session) trusted(b *acquisition) bool {
	n := 0
	for i := range b.votes {
		if v := &b.votes[i]; v.stands(b) && s.trusts(v.term) {
			n++
		}
	}
	return n >= s.majority
}

// restand moves a hold to a better footing, if there is one.
func (s *session) restand(b *acquisition, now time.Time) {
	if s.strengthen(b, now) {
		s.tell(backend.Event{Kind: backend.EventGranted, Owner: b.op.Owner, Grant: s.grant(b, now)})
	}
}

// lacks reports whether b has no vote of a node and has not asked for it either.
func (v *vote) lacks(b *acquisition, l *replica) bool {
	return !v.stands(b) && v.ask == nil && (v.state != voteAsked || v.touched != l.term)
}

// mends puts requests for votes that holds lack into the batch that is about to be sent.
// They are made when there is room for them, so that no other request waits for many.
func (l *replica) mends(now time.Time) {
	n, looked := 0, 0
	for looked < len(l.lacks) && n < mendsPerBatch {
		b := l.lacks[looked]
		looked++
		v := &b.votes[l.index]
		v.lacking = false
		if !b.mendable(now) || !l.session.trusted(b) || !v.lacks(b, l) || v.doubted && !l.session.confirmed(b) {
			continue
		}
		n++
		v.state, v.round, v.ballot, v.slot = voteAsked, b.round, b.ballot, b.slot
		v.open++
		l.sent = append(l.sent, &ask{kind: askAffirm, bid: b, flag: v.doubted})
	}
	if l.lacks = l.lacks[looked:]; len(l.lacks) == 0 {
		l.lacks = nil
	}
}
