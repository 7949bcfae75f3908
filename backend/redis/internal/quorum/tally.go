package quorum

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file decides what becomes of an acquisition by the votes that it has. The session's
// mutex is held in all of it.

const (
	// gather is for how long an acquisition that was told of a release by one node waits to be
	// told by the others before it asks them.
	gather = 5 * time.Millisecond
	// kept is for how long a node keeps a lock that became free for one who waits; vote.lua
	// has it too.
	kept = 100 * time.Millisecond
	// longestPause is the longest random pause after a vote that nobody has won, for one
	// who waits and for one who does not: the batch waits for that one's answer.
	longestPause, longestPauseOfTry = 150 * time.Millisecond, 4 * time.Millisecond
	// maxSplits is how often one who does not wait tries again after such a vote, and after
	// how many one who waits is in no hurry: a node that does not answer may have the vote
	// with which somebody holds.
	maxSplits = 8
	// maxRaised is how many tokens, and maxShifts how many more slots, an acquisition tries in one
	// round. Nodes tell of all slots that are taken, so who finds none that soon had better
	// pause: others were quicker each time.
	maxRaised, maxShifts = 16, 4
)

// A tally counts the votes of an acquisition.
type tally struct {
	given   int
	pending int // asked, and expected to answer soon
	unfit   int // the token was refused
	busy    int // others are in the way, or have a better right
	away    int // has no right to vote yet
	limit   int
	failed  int
	denied  int // of those that failed
	unasked int
	silent  int // down or late
	wait    time.Duration
	err     error
}

func (s *session) count(b *acquisition, now time.Time) (t tally) {
	for i := range b.votes {
		v, l := &b.votes[i], s.replicas[i]
		switch {
		case v.stands(b):
			t.given++
		case v.round != b.round && l.silent(now):
			t.silent++
		case v.round != b.round || v.state == voteNone || v.state == voteGiven:
			t.unasked++
		case v.state == voteAsked && l.silent(now):
			t.silent++
		case v.state == voteAsked:
			t.pending++
		case v.state == voteUnfit:
			t.unfit++
		case v.state == voteBusy, v.state == voteKept:
			t.busy++
		case v.state == voteAway:
			t.away++
			if t.wait == 0 || v.away < t.wait {
				t.wait = v.away
			}
		case v.state == voteLimit:
			t.limit++
		case v.state == voteFailed:
			t.failed++
			t.err = fmt.Errorf("%s: %w", l.node, v.err)
			if errors.Is(v.err, backend.ErrDenied) {
				t.denied++
			}
		}
	}
	return t
}

// weigh decides about an acquisition that asks, after an answer or when it is due.
func (s *session) weigh(b *acquisition, now time.Time) {
	if b.state != bidAsking {
		return
	}
	t := s.count(b, now)
	veto := len(s.replicas) - s.majority + 1
	possible := t.given + t.pending
	b.stuck, b.refusal = false, nil
	switch {
	case t.given >= s.majority:
		s.win(b, now)
	case t.limit >= veto:
		s.end(b, backend.Result{State: backend.Failed, Err: backend.ErrLimit}, now)
	case t.denied >= veto:
		s.end(b, backend.Result{State: backend.Failed, Err: t.err}, now)
	case t.failed > 0 && t.failed+t.silent >= veto && t.pending == 0:
		s.shelve(b, t.err)
	case possible >= s.majority:
	case t.unasked > 0 && now.Before(b.gather):
		// The release that one node told of is on its way to the others.
	case t.unasked > 0:
		s.ask(b, now)
	case possible+t.unfit >= s.majority && t.unfit > 0 && b.raised < maxRaised:
		s.raise(b, now)
	case t.pending > 0 && t.busy < veto:
		// What the others say tells more.
	case t.silent >= veto && t.busy < veto, t.unfit+t.busy+t.away+t.limit+t.failed == 0:
		// Too few answer. A node that is down may be so for long.
		b.stuck = !s.late()
	default:
		s.lose(b, t, now)
	}
}

// shelve has b wait to be asked for again: too many nodes do not vote for it, for reasons
// of their own.
func (s *session) shelve(b *acquisition, why error) {
	if b.enlisted && !s.awaited(b) {
		// Its caller has been told to wait, and hears the reason when it asks again.
		s.tell(backend.Event{Kind: backend.EventTurn, Owner: b.op.Owner})
	}
	b.state, b.due = bidWaiting, time.Time{}
	b.stuck, b.refusal, b.enlisted = true, why, false
	s.giveBack(b)
}

// late reports whether a node that does not answer still may, without another
// connection.
func (s *session) late() bool {
	up := 0
	for _, l := range s.replicas {
		if l.state == lineUp {
			up++
		}
	}
	return up >= s.majority
}

// ask asks all nodes that have not given b what it asks for, or are about to.
func (s *session) ask(b *acquisition, now time.Time) {
	b.gather = time.Time{}
	s.alarms.set(b, now.Add(s.ttl/6)) // So that late answers are noticed.
	for _, l := range s.replicas {
		s.askOne(b, l)
	}
}

func (s *session) askOne(b *acquisition, l *replica) {
	v := &b.votes[l.index]
	fresh := v.round != b.round || v.state != voteAsked || v.ballot != b.ballot || v.slot != b.slot
	if v.stands(b) || !fresh {
		return
	}
	if l.unfit != nil {
		if v.ask != nil {
			l.withdraw(v.ask)
			v.ask = nil
		}
		v.state, v.round, v.ballot, v.slot, v.err = voteFailed, b.round, b.ballot, b.slot, l.unfit
		return
	}
	v.state, v.round, v.ballot, v.slot, v.told = voteAsked, b.round, b.ballot, b.slot, false
	if v.ask == nil { // One that was not sent yet asks for what b wants by then.
		v.ask = &ask{kind: askVote, bid: b, flag: b.op.Wait}
		l.add(v.ask)
	}
}

// attempt begins a new round with all nodes.
func (s *session) attempt(b *acquisition, now time.Time) {
	if b.op.Class == backend.Semaphore {
		if slot, ok := s.pick(b); ok {
			s.goFor(b, slot)
		}
	}
	b.state, b.polled, b.stays, b.stuck, b.refusal = bidAsking, now, false, false, nil
	b.round++
	b.raised, b.shifts = 0, 0
	if _, given := b.terms(); given == 0 {
		b.ballot = s.ballots.next(now)
	}
	s.ask(b, now)
}

// turn takes the word of a node that it may be b's turn.
func (s *session) turn(b *acquisition, l *replica, slot string, now time.Time) {
	switch b.state {
	case bidWaiting:
		b.state = bidAsking
		b.round++
		b.raised, b.shifts = 0, 0
		if _, given := b.terms(); given == 0 {
			b.ballot = s.ballots.next(now)
			if n, err := strconv.ParseUint(slot, 10, 32); err == nil && s.slots[b.lock][uint32(n)] == nil {
				s.goFor(b, uint32(n))
			}
		}
		b.stays = false
		b.gather = now.Add(gather)
		s.alarms.set(b, b.gather)
	case bidAsking:
		switch v := &b.votes[l.index]; v.state {
		case voteBusy, voteKept:
			v.state = voteNone
		case voteAsked:
			v.told = true // The answer may be from before.
		case voteUnfit:
			if v.round == b.round {
				return // Another token is asked for when the others have answered.
			}
		}
	default:
		return
	}
	s.askOne(b, l)
}

// raise asks all nodes for votes for a higher token.
func (s *session) raise(b *acquisition, now time.Time) {
	var offers []offer
	for i := range b.votes {
		if v := &b.votes[i]; v.round == b.round && v.state == voteUnfit {
			offers = append(offers, v.offer)
		} else if v.round == b.round && (v.state == voteGiven || v.state == voteAsked) {
			offers = append(offers, offer{})
		}
	}
	b.raised++
	margin := uint64(0)
	if b.raised > 2 {
		margin = 64 << b.raised
	}
	b.ballot = s.ballots.above(offers, s.majority, margin, now)
	s.ask(b, now)
}

// win makes b a holder, unless the terms of its votes are about to end.
func (s *session) win(b *acquisition, now time.Time) {
	k, _ := b.terms()
	f := s.footing(k, now)
	if f.until.Sub(now) < leastLeft(s.ttl) {
		s.alarms.set(b, now.Add(s.ttl/6)) // The next heartbeat renews them.
		return
	}
	b.state, b.due, b.fresh = bidHolding, time.Time{}, true
	b.footing = f
	f.holders++
	for i := range b.votes {
		if v := &b.votes[i]; v.stands(b) && v.others {
			b.contended = true
		}
	}
	if b.enlisted && !s.awaited(b) {
		s.tell(backend.Event{Kind: backend.EventGranted, Owner: b.op.Owner, Grant: s.grant(b, now)})
	}
}

// grant returns the terms on which b holds.
func (s *session) grant(b *acquisition, now time.Time) backend.Grant {
	if b.fresh {
		b.fresh = false
		s.strengthen(b, now)
	}
	b.footing.known = true
	return backend.Grant{Lease: b.footing.lease(), Ordinal: b.ballot, Contended: b.contended}
}

// strengthen moves a hold to the footing of all votes that it has by now, if they are
// more. It reports whether it did.
func (s *session) strengthen(b *acquisition, now time.Time) bool {
	k, n := b.terms()
	if n < s.majority || n <= b.footing.terms.strength() {
		return false
	}
	f := s.footing(k, now)
	if f == b.footing || f.ended(now) {
		return false
	}
	b.footing.holders--
	b.footing = f
	f.holders++
	return true
}

// end ends an acquisition that does not and will not hold.
func (s *session) end(b *acquisition, r backend.Result, now time.Time) {
	b.state, b.result, b.due = bidRefused, r, time.Time{}
	s.rota.remove(b)
	s.giveBack(b)
	if b.enlisted && !s.awaited(b) {
		// Its caller has been told to wait, and hears the reason when it asks again.
		s.tell(backend.Event{Kind: backend.EventTurn, Owner: b.op.Owner})
	}
}

// lose deals with a round that b has not won: it lets b wait, try again later, or end.
func (s *session) lose(b *acquisition, t tally, now time.Time) {
	if t.busy > 0 && b.op.Class == backend.Semaphore && b.shifts < maxShifts {
		if slot, ok := s.pick(b); ok && slot != b.slot {
			b.shifts++
			s.goFor(b, slot)
			b.ballot = s.ballots.next(now)
			s.ask(b, now)
			return
		}
	}
	unknown := t.silent + t.away + t.limit + t.failed
	taken := t.busy > 0 && s.taken(b, unknown)
	away := t.busy == 0 && t.unfit == 0 && t.away > 0
	switch {
	case !b.op.Wait && taken:
		s.end(b, backend.Result{State: backend.Busy}, now)
	case !b.op.Wait && away:
		s.end(b, backend.Result{State: backend.Failed, Err: s.errAway(t)}, now)
	case !b.op.Wait && b.splits >= maxSplits:
		s.end(b, backend.Result{State: backend.Busy}, now)
	case away:
		s.yield(b, false, now)
		s.alarms.set(b, now.Add(t.wait+time.Millisecond))
	case taken:
		b.splits = 0
		s.yield(b, false, now)
		switch {
		case s.keptFrom(b):
			s.alarms.set(b, now.Add(kept+rand.N(kept/2)))
		case s.deaf():
			s.pollSoon(b, now)
		}
	default:
		s.split(b, now)
	}
}

// split deals with a vote that nobody has won. Whoever has the first node that answers
// stays for a moment, so that one of the rivals gets through; the others give way at
// once, and all pause for random times before they try again.
func (s *session) split(b *acquisition, now time.Time) {
	b.splits++
	for _, l := range s.replicas {
		if l.silent(now) {
			continue
		}
		if b.votes[l.index].stands(b) && b.splits%4 != 0 && b.splits <= maxSplits {
			b.state, b.stays = bidWaiting, true
			s.alarms.set(b, now.Add(time.Millisecond+rand.N(3*time.Millisecond)))
			return
		}
		break
	}
	s.yield(b, true, now)
	most := min(4*time.Millisecond<<min(b.splits, 6), longestPause)
	if !b.op.Wait {
		most = longestPauseOfTry
	}
	s.alarms.set(b, now.Add(time.Millisecond+rand.N(most)))
}

// keptFrom reports whether a node keeps the lock for somebody else.
func (s *session) keptFrom(b *acquisition) bool {
	for i := range b.votes {
		if v := &b.votes[i]; v.round == b.round && v.state == voteKept {
			return true
		}
	}
	return false
}

// yield has b give back its votes and wait. others are to be woken if nobody has won.
func (s *session) yield(b *acquisition, others bool, now time.Time) {
	b.state, b.due = bidWaiting, time.Time{}
	s.leaveSlot(b)
	if !b.op.Wait {
		s.giveBack(b) // It is not to be found among those who wait.
		return
	}
	for i, l := range s.replicas {
		if v := &b.votes[i]; v.state == voteGiven || v.state == voteUnfit {
			l.add(&ask{kind: askYield, bid: b, flag: others})
			v.state = voteNone
		}
	}
	s.enlist(b)
}

// enlist finds out whether a majority knows that b waits.
func (s *session) enlist(b *acquisition) {
	if b.refusal != nil {
		return // It was shelved, and nodes have been told to forget it.
	}
	listed := 0
	for i, l := range s.replicas {
		switch v := &b.votes[i]; v.state {
		case voteBusy, voteKept, voteAway:
			listed++
		case voteNone:
			if v.touched == l.term && l.term != nil {
				listed++ // by an earlier round, or by giving way
			}
		}
	}
	b.enlisted = b.enlisted || listed >= s.majority
	b.stuck = !b.enlisted && !s.late()
}
