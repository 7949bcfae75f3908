package redis

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

const (
	// pollEvery is how often those who wait ask without being told to: a push may
	// be lost, and a node may have come back without knowing of them.
	pollEvery = 900 * time.Millisecond
	// mendsPerBeat is how many holds ask a node again for its vote in one heartbeat.
	mendsPerBeat = 1024
)

// upkeep polls for those who wait, and mends holds. s.mu is held.
func (s *quorumSession) upkeep(now time.Time) {
	if now.Sub(s.mended) < min(pollEvery, s.ttl/4) {
		return
	}
	s.mended = now
	asked := [maxNodes]int{}
	for _, b := range s.bids {
		switch {
		case b.state == bidWaiting && now.Sub(b.polled) > pollEvery:
			s.attempt(b, now)
		case b.state == bidHolding && !b.fresh && !b.footing.ended(now):
			s.mend(b, &asked, now)
		}
	}
}

// mend moves a hold to a better footing, and asks nodes that have come back, or were
// not heard in time, for the votes that it lacks: so a hold outlives the restart of all
// nodes, one after another.
func (s *quorumSession) mend(b *bid, asked *[maxNodes]int, now time.Time) {
	if s.strengthen(b, now) {
		s.tell(backend.Event{Kind: backend.EventGranted, Owner: b.op.Owner, Grant: s.grant(b, now)})
	}
	for i, l := range s.lines {
		v := &b.votes[i]
		if v.stands(b) || l.silent(now) || v.ask != nil || v.state == voteAsked && v.touched == l.term || asked[i] >= mendsPerBeat {
			continue
		}
		asked[i]++
		v.state, v.round, v.ballot, v.slot = voteAsked, b.round, b.ballot, b.slot
		v.ask = &ask{kind: askAffirm, bid: b}
		l.add(v.ask)
	}
}
