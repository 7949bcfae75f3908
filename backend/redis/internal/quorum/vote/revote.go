package vote

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file is how a hold gets votes that it lacks, from nodes that have come back or were
// not heard in time: so it outlives the restart of all nodes, one after another.

// revotesPerBatch bounds for how long a server is kept from others by a session that lacks
// the votes of many holds there.
const revotesPerBatch = 128

// upkeep polls for those who wait, has votes checked, and asks for those that holds lack.
func (m *Machine) upkeep(now time.Time) {
	passed := now.Sub(m.revoted)
	if passed < min(PollEvery, m.TTL/4) {
		return
	}
	m.revoted = now
	m.checkSome(passed, now)
	for a := range m.rota.All() {
		if a.state == waiting && now.Sub(a.polled) > PollEvery {
			m.attempt(a, now)
		}
	}
	m.revoteAll(now)
}

// revoteAll asks for the votes that any hold lacks.
func (m *Machine) revoteAll(now time.Time) {
	for a := range m.rota.All() {
		if a.reliable(now) {
			m.revote(a, now)
		}
	}
}

// reliable reports whether a is a hold that its caller relies on.
func (a *acquisition) reliable(now time.Time) bool {
	return a.state == holding && !a.fresh && !a.lost && !a.lease.ended(now)
}

// revote moves a hold to a better lease, and asks nodes for the votes that it lacks.
func (m *Machine) revote(a *acquisition, now time.Time) {
	m.restand(a, now)
	if !m.trusted(a) {
		return
	}
	for i, n := range m.nodes {
		switch v := &a.votes[i]; {
		case !v.lacks(a, n) || v.lacking || n.silent(now):
		case v.doubted && !m.confirmed(a):
			m.check(a, now)
		default:
			v.lacking = true
			n.lacks = append(n.lacks, a)
			n.wake()
		}
	}
}

// lacks reports whether a has no vote of a node and has not asked for it either.
func (v *vote) lacks(a *acquisition, n *node) bool {
	return !v.stands(a) && v.request == nil && (v.state != voteAsked || v.touched != n.epoch)
}

// revotes puts requests for votes that holds lack into the batch that is about to be sent.
// They are made when there is room for them, so that no other request waits for many.
func (m *Machine) revotes(n *node, now time.Time) {
	made, looked := 0, 0
	for looked < len(n.lacks) && made < revotesPerBatch {
		a := n.lacks[looked]
		looked++
		v := &a.votes[n.index]
		v.lacking = false
		if !a.reliable(now) || !m.trusted(a) || !v.lacks(a, n) || v.doubted && !m.confirmed(a) {
			continue
		}
		made++
		v.state, v.round, v.token, v.slot = voteAsked, a.round, a.token, a.slot
		v.open++
		n.sent = append(n.sent, &Request{Kind: AskAgain, of: a, Flag: v.doubted})
	}
	if n.lacks = n.lacks[looked:]; len(n.lacks) == 0 {
		n.lacks = nil
	}
}

// strengthen moves a hold to the lease of all votes that it has by now, if they are more.
// It reports whether it did.
func (m *Machine) strengthen(a *acquisition, now time.Time) bool {
	e, n := a.epochs()
	if n < m.majority || n <= a.lease.epochs.strength() {
		return false
	}
	l := m.lease(e, now)
	if l == a.lease || l.ended(now) {
		return false
	}
	a.move(l)
	return true
}

// restand moves a hold to a better lease, if there is one.
func (m *Machine) restand(a *acquisition, now time.Time) {
	if m.strengthen(a, now) {
		m.tell(backend.Event{Kind: backend.EventGranted, Owner: a.op.Owner, Grant: m.grant(a, now)})
	}
}

// doubt begins a time in which no vote is asked for again: where one node has forgotten
// the session the others may have, too, and somebody else may have held meanwhile.
func (m *Machine) doubt(now time.Time) {
	m.doubted = now
	for _, n := range m.nodes {
		n.beats()
	}
}

// renewed takes the renewal of an epoch that was asked for at that time.
func (m *Machine) renewed(e *epoch, asked, now time.Time) {
	was := m.trusts(e)
	e.until = m.renewal(asked)
	m.extend(now)
	if !was && m.trusts(e) {
		m.revoteAll(now)
	}
}

// trusts reports whether a node has renewed its epoch since a node was found to have
// forgotten the session.
func (m *Machine) trusts(e *epoch) bool { return e.until.After(m.renewal(m.doubted)) }

// trusted reports whether a has a majority by nodes that have not forgotten the session.
func (m *Machine) trusted(a *acquisition) bool {
	n := 0
	for i := range a.votes {
		if v := &a.votes[i]; v.stands(a) && m.trusts(v.epoch) {
			n++
		}
	}
	return n >= m.majority
}
