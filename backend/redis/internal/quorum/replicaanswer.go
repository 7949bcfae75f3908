package quorum

import (
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// This file is what a replica takes from its session and gives to it. Each method holds
// the session's mutex by itself, or says so.

// take returns the next batch for a replica and notes when it was taken; the time is
// zero when there is nothing to send.
func (s *session) take(l *replica) (asks []*ask, beat bool, before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.sent) == 0 && !l.marked {
		if len(l.queue) == 0 && len(l.lacks) == 0 && !l.beat || s.closed {
			return nil, false, time.Time{}
		}
		n, bytes := 0, 0
		for _, a := range l.queue {
			if len(l.sent) == asksPerBatch || bytes > 1<<22 {
				break
			}
			n++
			if a.off {
				l.off--
				continue
			}
			bytes += len(a.bid.lock)
			l.sent = append(l.sent, a)
			l.mark = a.seq
		}
		if n == len(l.queue) {
			l.mark = l.asked
		}
		l.queue = append(l.queue[:0], l.queue[n:]...)
		l.marked, l.beat = l.beat, false
		l.mends(time.Now())
		if n == 0 && len(l.sent) == 0 && !l.marked {
			return nil, false, time.Time{} // All that lacked votes have them, or are over.
		}
		for _, a := range l.sent {
			a.ballot, a.slot, a.round = a.bid.ballot, a.bid.slot, a.bid.round
			if v := &a.bid.votes[l.index]; v.ask == a {
				v.ask = nil
				v.ballot, v.slot, v.round = a.ballot, a.slot, a.round
			}
		}
	}
	for _, a := range l.sent {
		a.again, a.sent = a.again || a.sent, true
		v := &a.bid.votes[l.index]
		v.touched = l.term
		if a.kind.binds() {
			v.dirty = true
		}
	}
	l.began, l.horizon = time.Now(), s.horizon()
	return l.sent, l.marked, l.began
}

// unsend takes the word of a node that it has done nothing of a batch.
func (s *session) unsend(asks []*ask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range asks {
		a.sent = a.again
	}
}

// answer takes a node's answers to a batch.
func (s *session) answer(l *replica, asks []*ask, answers []any, beat bool, before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	l.rtt += (now.Sub(before) - l.rtt) / 8
	l.began, l.answered, l.marked = time.Time{}, max(l.answered, l.mark), false
	if beat {
		s.renewed(l.term, before, now)
	}
	for i, a := range asks {
		fields, _ := answers[i].([]any)
		s.answerOne(l, a, fields, now)
	}
	for _, a := range asks {
		if a.bid.state == bidWaiting && a.bid.op.Wait {
			s.enlist(a.bid)
		}
		s.weigh(a.bid, now)
	}
	clear(asks)
	l.sent = l.sent[:0]
	s.stir()
}

func (s *session) answerOne(l *replica, a *ask, fields []any, now time.Time) {
	b := a.bid
	v := &b.votes[l.index]
	word := func(i int) string {
		if i < len(fields) {
			text, _ := fields[i].(string)
			return text
		}
		return ""
	}
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(word(i), 10, 64)
		return n
	}
	if a.kind.binds() {
		v.open--
	}
	switch a.kind {
	case askCheck:
		s.checked(b, a, l, word(0), now)
		return
	case askFree:
		if v.free != a {
			return
		}
		v.free = nil
		switch {
		case word(0) == "error" && b.state == bidFreeing:
			v.refusal = redisconn.ErrorText(word(1))
		case word(0) == "error":
			l.owed = append(l.owed, b)
		default:
			v.freed = b.state == bidFreeing
			v.answered(a, len(fields) > 1 && fields[1] == int64(1))
		}
		return
	case askYield:
		return
	}
	if b.state == bidFreeing || b.state == bidRefused || v.state != voteAsked || v.ballot != a.ballot || v.slot != a.slot || v.ask != nil {
		return // It asks for something else by now.
	}
	v.round = max(v.round, a.round)
	told := v.told
	v.told = false
	switch word(0) {
	case "given":
		v.state, v.term, v.missing, v.doubted = voteGiven, l.term, false, false
		others := len(fields) > 1 && fields[1] == int64(1)
		v.others = others
		switch {
		case others && b.state == bidHolding:
			s.contend(b)
		case b.state == bidWaiting && !b.stays:
			// It came too late for the round, and would only be in others' way.
			l.add(&ask{kind: askYield, bid: b})
			v.state = voteNone
		}
	case "low":
		v.state, v.offer = voteUnfit, offer{floor: number(1)}
	case "high":
		v.state, v.offer = voteUnfit, offer{ceiling: number(1)}
	case "busy":
		v.state, v.rivals = voteBusy, v.rivals[:0]
		for i := 1; i+1 < len(fields); i += 2 {
			v.rivals = append(v.rivals, rival{uint32(number(i)), word(i + 1)})
		}
	case "kept":
		v.state = voteKept
	case "wait":
		v.state, v.away = voteAway, time.Duration(number(1))*time.Millisecond
	case "limit":
		v.state = voteLimit
	case "doubt":
		v.state, v.doubted = voteNone, true
		b.doubts++
		s.check(b, now)
	default:
		v.state, v.err = voteFailed, redisconn.ErrorText(word(1))
	}
	if told && (v.state == voteBusy || v.state == voteKept) {
		// What the node pushed since has come before its answer.
		s.turn(b, l, "", now)
	}
}
