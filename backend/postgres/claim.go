package postgres

import (
	"errors"
	"slices"

	"github.com/dlock-go/dlock/backend"
)

// This file says what becomes of claims: what they ask for, when they are granted,
// and how they leave.

// ask begins with a new claim.
func (s *session) ask(c *claim) {
	l := c.lock
	c.state = asking
	s.active++
	l.users++
	switch {
	case !l.closed(c.mode):
		l.deciding++
		s.holder.pending = append(s.holder.pending, request{kind: try, lock: l, claim: c})
	case c.wait:
		s.enqueue(c)
	default:
		s.refuse(c, nil)
	}
}

// enqueue has a claim wait.
func (s *session) enqueue(c *claim) {
	c.state = queued
	l := c.lock
	w := l.waits[c.mode]
	if w == nil {
		_, foreign := s.waits.foreign[l.keyID()]
		w = &wait{lock: l, mode: c.mode}
		if foreign {
			w.way = direct
		}
		l.waits[c.mode] = w
	}
	w.claims = append(w.claims, c)
	if len(w.claims) == 1 {
		s.assign(w)
	}
}

// refuse ends a claim that is not granted.
func (s *session) refuse(c *claim, err error) {
	c.state, c.err = refused, err
	s.part(c)
	if c.told {
		s.mail.Send(backend.Event{Kind: backend.EventTurn, Owner: c.owner})
	}
}

// part takes a claim off its lock.
func (s *session) part(c *claim) {
	s.active--
	c.lock.users--
	s.settle(c.lock)
}

// grant makes a claim a holder.
func (s *session) grant(c *claim, g *grip, number int64) {
	l := c.lock
	c.state, c.grip = held, g
	c.ordinal = uint64(number)
	l.holders++
	l.shared = c.mode == backend.Shared
	if c.told {
		s.mail.Send(backend.Event{Kind: backend.EventGranted, Owner: c.owner, Grant: backend.Grant{Lease: s.terms(g.waiter), Ordinal: c.ordinal}})
	}
}

// decided takes the answer to a try: a grip, in which the claim is counted, or
// nil.
func (s *session) decided(c *claim, g *grip, number int64, err error) {
	switch {
	case c.left:
		c.state = leaving
		s.part(c)
		if c.grip = g; g != nil {
			s.unhand(g, c)
		}
	case g != nil:
		s.grant(c, g, number)
	case err != nil:
		s.refuse(c, explained(err))
	case c.wait:
		s.enqueue(c)
	default:
		s.refuse(c, nil)
	}
}

// release gives back what a claim has, or withdraws it.
func (s *session) release(c *claim) {
	switch c.state {
	case asking:
		c.left = true
	case queued:
		c.state, c.stood = leaving, true
		w := c.lock.waits[c.mode]
		i := slices.Index(w.claims, c)
		w.claims = slices.Delete(w.claims, i, i+1)
		if i < w.cover {
			w.cover--
		}
		if len(w.claims) == 0 {
			s.disband(w)
		}
		s.part(c)
	case held:
		c.state, c.err = leaving, nil
		c.lock.holders--
		s.unhand(c.grip, c)
		s.part(c)
	case lost:
		c.state, c.missing = leaving, true
	case refused:
		c.state = leaving
	}
}

// quiet reports whether nothing is left at the server of a claim that leaves.
func (s *session) quiet(c *claim) bool {
	l := c.lock
	w := l.waits[c.mode]
	return l.unlocking == 0 && s.holder.scrubs == 0 && (w == nil || len(w.claims) > 0) && !(c.stood && l.leftovers > 0)
}

// unhand takes one claim off a grip, and gives it back when that was the last: c, or
// nil for one that never knew of it.
func (s *session) unhand(g *grip, c *claim) {
	if g.claims--; g.claims > 0 {
		return
	}
	l := g.lock
	l.unlocking++
	switch {
	case g.waiter != nil:
		s.clear(g.waiter)
		return
	case l.slots != nil:
		delete(l.slots.taken, g.slot)
	default:
		l.own = nil
	}
	s.holder.pending = append(s.holder.pending, request{kind: unlock, lock: l, grip: g, claim: c})
	if l.slots == nil {
		return
	}
	if w := l.waits[backend.Exclusive]; w != nil && w.waiter != nil && w.waiter.step == landing && w.place != trying && len(w.claims) > 0 {
		s.land(w) // It is here for the taking.
	}
}

// settle has the session leave a semaphore that it no longer uses.
func (s *session) settle(l *lock) {
	if t := l.slots; t != nil && t.joined && l.users == 0 && l.deciding == 0 && l.waits == [len(l.waits)]*wait{} {
		t.joined = false
		l.unlocking++
		s.holder.pending = append(s.holder.pending, request{kind: leave, lock: l})
	}
	s.forget(l)
}

// errGone is why a hold ends with its wait session.
var errGone = errors.New("the connection that held it was lost")
