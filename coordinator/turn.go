package coordinator

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file decides whose turn it is: when the store grants, when a holder
// leaves, and when a hold ends before its time.

// grant takes the store's grant of an entry.
func (m *Machine) grant(e *entry, g backend.Grant, now time.Time) {
	if e.state == releasing {
		return // Withdrawn in the meantime. The Release is on its way.
	}
	l := e.lock
	if g.Contended {
		m.contend(l, now)
	} else if e.owner > l.contendedBy {
		l.contended = time.Time{}
	}
	if e.state == granted {
		m.move(e, g.Lease)
		return
	}
	if e.place {
		m.unplace(e)
	}
	e.state, e.grant, e.granted = granted, g, now
	l.wrote = false
	m.lease(e)
	m.touch(l)
	if e.mode == backend.Shared {
		l.sharing++
		l.open = e
		l.passed = 0
	} else {
		l.holding++
		if l.limit == 1 {
			l.sole = e
		}
	}

	switch {
	case !e.place:
		if c := e.try; c != nil {
			e.try = nil
			m.admit(c, e)
		}
	case e.mode == backend.Shared:
		for c := l.shared.First(); c != nil && c.seq < e.cover && e.served < maxHolders; c = l.shared.First() {
			m.admit(c, e)
		}
		for l.shared.Len() > 0 && l.exclusive.Len() == 0 && m.joinable(l, now) {
			m.admit(l.shared.First(), e)
		}
	case l.exclusive.Len() > 0:
		m.admitWriter(e)
	}
	if e.holders.Len() == 0 {
		m.releaseEntry(e) // All whom it was asked for have given up.
	}
}

// move hangs a hold on another lease.
func (m *Machine) move(e *entry, to backend.Lease) {
	if e.grant.Lease.ID == to.ID {
		return
	}
	m.unlease(e)
	e.grant.Lease = to
	m.lease(e)
	for c := e.holders.First(); c != nil; c = c.link.Next() {
		m.effect(Effect{Kind: Move, Claim: c, Lease: to})
	}
}

// admit makes a claim a holder of a granted entry.
func (m *Machine) admit(c *Claim, e *entry) {
	if c.link.List() != nil {
		c.link.Remove()
	}
	m.moveOn(c)
	c.state, c.lock, c.entry = held, nil, e
	m.effect(Effect{Kind: Grant, Claim: c, Lease: e.grant.Lease, Token: e.token(), Via: e.via()})
	e.served++
	e.holders.Push(c, &c.link)
	m.holds++
}

// admitWriter admits the first exclusive waiter and counts the readers that it
// passes by.
func (m *Machine) admitWriter(e *entry) {
	l := e.lock
	if l.shared.Len() > 0 {
		l.passed++
	} else {
		l.passed = 0
	}
	c := l.exclusive.First()
	m.admit(c, e)
	m.announce(l)
}

// announce tells the holder of a lock who of this process is next, if somebody
// waits and nobody elsewhere is known to.
func (m *Machine) announce(l *lock) {
	if l.sole == nil || l.sole.holders.First() == nil || m.handoff <= 0 || !l.contended.IsZero() {
		return
	}
	if c := l.sole.holders.First(); c.successor.Load() != l.exclusive.First() {
		c.successor.Store(l.exclusive.First())
	}
}

// leave takes a holder out. It returns the entry when that is given back to the
// store, and nil when somebody here goes on holding it.
func (m *Machine) leave(c *Claim, now time.Time) *entry {
	e := c.entry
	c.link.Remove()
	m.holds--
	c.entry = nil
	c.successor.Store(nil) // Or each claim would keep all that came after it from being garbage.
	if e.holders.Len() > 0 || e.mode == backend.Exclusive && m.handOver(e, now) {
		return nil
	}
	if l := e.lock; e.mode == backend.Exclusive && l.writerGoesFirst() {
		// The store gives the lock to writers first, but only to those it knows.
		m.releases = append(m.releases, m.ask(l, backend.Exclusive, nil).acquire())
	}
	m.releaseEntry(e)
	return e
}

// handOver passes an entry on to the next exclusive waiter of this process, if
// there is one and nobody has a better right to the lock.
func (m *Machine) handOver(e *entry, now time.Time) bool {
	l := e.lock
	if l.exclusive.Len() == 0 || !m.mayPass(e, now) || l.shared.Len() > 0 && l.passed >= backend.MaxWriters {
		return false
	}
	m.admitWriter(e)
	if l.placesExclusive.Len() > l.wanted(backend.Exclusive) {
		m.touch(l)
	}
	return true
}

// mayPass reports whether another claim of this process may hold e without
// queueing at the store: while nobody elsewhere is known to wait, or else within
// the budget.
func (m *Machine) mayPass(e *entry, now time.Time) bool {
	if m.handoff <= 0 || e.served >= maxHolders {
		return false
	}
	since := e.granted
	if m.caps.Contended {
		contended := e.lock.contended
		if contended.IsZero() {
			return true
		}
		if contended.After(since) {
			since = contended
		}
	}
	return now.Sub(since) < m.handoff
}

// joinable reports whether a new reader may join those that hold already.
func (m *Machine) joinable(l *lock, now time.Time) bool {
	return l.open != nil && m.mayPass(l.open, now)
}

// contend notes that somebody elsewhere waits.
func (m *Machine) contend(l *lock, now time.Time) {
	if l.contended.IsZero() {
		l.contended = now
	}
	l.contendedBy = m.owner
}

// releaseEntry has an entry released at the store, whatever its state.
func (m *Machine) releaseEntry(e *entry) {
	l := e.lock
	switch {
	case e.state != granted:
		if e.place {
			m.unplace(e)
		}
	case e.mode == backend.Shared:
		m.unlease(e)
		l.sharing--
	default:
		m.unlease(e)
		l.holding--
		l.wrote = true
	}
	if l.open == e {
		l.open = nil
	}
	if l.sole == e {
		l.sole = nil
	}
	if l.holding+l.sharing == 0 {
		l.contended = time.Time{}
	}
	m.releases = append(m.releases, backend.Op{
		Do:    backend.Release,
		Class: l.class,
		Mode:  e.mode,
		Owner: e.owner,
		Limit: l.limit,
		Name:  l.name,
	})
	m.detach(e)
	e.state = releasing
}

// drop ends an entry before its time: its holders hear that, a try is refused,
// and the store is told to free what is left.
func (m *Machine) drop(e *entry, holders, try error) {
	if e.state == releasing {
		return
	}
	if c := e.try; c != nil {
		e.try, c.entry = nil, nil
		c.link.Remove()
		m.refuse(c, try)
	}
	for e.holders.Len() > 0 {
		c := e.holders.Pop()
		if m.closed {
			e.last = c
		}
		m.holds--
		c.state, c.entry = ended, nil
		c.successor.Store(nil)
		m.effect(Effect{Kind: End, Claim: c, Err: holders})
	}
	m.releaseEntry(e)
}

// queued takes the answer that an entry waits at the store.
func (m *Machine) queued(e *entry) {
	switch {
	case e.state != asked:
		// A grant has overtaken the answer, or a withdrawal is on its way.
	case e.place:
		e.state, e.waits = queued, true
	default:
		m.drop(e, nil, ErrBusy) // Not asked to wait: nothing may be left behind.
	}
}

// refused takes the answer that an entry does not and will not hold. The error
// goes to the claim that it was asked for, or to the first in line; for the
// others there is another attempt.
func (m *Machine) refused(e *entry, why error) {
	if e.state != asked && e.state != queued {
		return
	}
	l := e.lock
	c := e.try
	if c != nil {
		c.link.Remove()
	}
	if e.place {
		m.unplace(e)
		if q := l.waiters(e.mode); q.Len() > 0 {
			c = q.Pop()
		}
	}
	if c != nil {
		c.entry, c.lock = nil, nil
		m.refuse(c, why)
	}
	m.detach(e)
	m.freeEntry(e)
}

// released takes the answer to a Release, or that it found nothing to free.
func (m *Machine) released(e *entry, missing bool) {
	if e.state != releasing {
		return
	}
	var why error
	if missing {
		why = errMissing
		if e.last != nil {
			m.effect(Effect{Kind: Missed, Claim: e.last, Err: why})
		}
	}
	m.freed(e, Effect{Err: why})
	m.freeEntry(e)
}

// errMissing is the ErrLost that only a release has learned of.
var errMissing = fmt.Errorf("%w: the store no longer had it when it was released", ErrLost)

// lease counts a granted entry as one that depends on its lease.
func (m *Machine) lease(e *entry) { m.leased[e.grant.Lease.ID]++ }

// unlease takes it out of the count.
func (m *Machine) unlease(e *entry) {
	id := e.grant.Lease.ID
	if m.leased[id]--; m.leased[id] == 0 {
		delete(m.leased, id)
	}
}

// unplace takes an entry out of the places that wait at the store.
func (m *Machine) unplace(e *entry) {
	e.link.Remove()
	m.places--
}

// detach takes an entry off its lock.
func (m *Machine) detach(e *entry) {
	l := e.lock
	e.lock = nil
	l.all--
	m.touch(l)
}

// repeat has an entry's Acquire applied again, as long as it waits.
func (m *Machine) repeat(e *entry) {
	if !e.again && e.place && (e.state == asked || e.state == queued) {
		e.again = true
		m.repeats = append(m.repeats, e.owner)
	}
}
