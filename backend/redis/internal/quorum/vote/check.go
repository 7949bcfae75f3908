package vote

import (
	"errors"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file is how a session finds out whether nodes still have its votes, which somebody
// may have deleted or a server evicted.

// checksPerThird is how many acquisitions are checked in a third of the time to live,
// however many there are: all of a thousand within the time to live, at a cost that stays
// flat.
const checksPerThird = 350

// Horizon is for how long nodes are to keep what is touched now: four times as long as it
// takes until all acquisitions that are before it in the rota were checked, and long after
// those who wait ask again.
func (m *Machine) Horizon() time.Duration { return horizon(m.TTL, m.rota.Len()) }

func horizon(ttl time.Duration, acquisitions int) time.Duration {
	return max(12*ttl, 10*PollEvery, ttl/(3*checksPerThird)*time.Duration(4*acquisitions))
}

// checkSome has the nodes asked whether they still have votes that they gave, for as many
// acquisitions as are due after so long. All nodes are asked about an acquisition at the
// same time, so that one that is gone from most of them is found out by one turn.
func (m *Machine) checkSome(passed time.Duration, now time.Time) {
	share := int(checksPerThird * min(passed, m.TTL/3) / (m.TTL / 3))
	for n := m.rota.Len(); n > 0 && share > 0; n-- {
		a := m.rota.Pop()
		m.rota.Push(a, &a.link)
		if m.check(a, now) {
			share--
		}
	}
}

// check asks the nodes whether they still have the votes that a counts on, and reports
// whether there was one to ask. A node that is down is asked as well: the epoch may go on
// when it is up again.
func (m *Machine) check(a *acquisition, now time.Time) (asked bool) {
	for i, n := range m.nodes {
		v := &a.votes[i]
		if !v.stands(a) || now.After(v.epoch.until.Add(m.TTL)) {
			continue // There is none, or the node has ended its epoch.
		}
		asked = true
		if v.check == nil || v.check.sent && v.check.doubts < a.doubts {
			v.check = &Request{Kind: AskCheck, of: a, doubts: a.doubts}
			n.add(v.check)
		}
		v.check.doubts = a.doubts // One that was not sent yet serves for later doubts, too.
	}
	return asked
}

// checked takes a node's answer to a check.
func (m *Machine) checked(n *node, r *Request, w *Answer, now time.Time) {
	a := r.of
	v := &a.votes[n.index]
	if v.check == r {
		v.check = nil
	}
	if !v.stands(a) || v.token != r.Token || v.slot != r.Slot {
		return // It counts on another vote by now, or on none.
	}
	switch w.Word {
	case Given:
		v.sure = max(v.sure, r.doubts)
		if a.doubts > 0 && a.reliable(now) && m.confirmed(a) {
			m.revote(a, now)
		}
	case Gone:
		v.state, v.missing = voteNone, true
		m.missed(a, n, now)
	}
}

// missed deals with a vote that is gone, though its node has not ended the epoch: somebody
// else may have been given it since.
func (m *Machine) missed(a *acquisition, n *node, now time.Time) {
	a.doubts++
	switch {
	case a.state != holding || a.lost || a.lease.ended(now):
		return
	case a.fresh:
		m.ungrant(a)
		return
	}
	e := a.lease.epochs
	e[n.index] = nil
	for i := range a.votes {
		if v := &a.votes[i]; v.stands(a) {
			e[i] = v.epoch
		}
	}
	var l *lease
	if !e.broken(m.majority) {
		l = m.lease(e, now)
	}
	if l == nil || l.ended(now) {
		a.lost = true
		m.tell(backend.Event{Kind: backend.EventLost, Owner: a.op.Owner, Err: m.errMissing(a)})
		return
	}
	if l != a.lease {
		a.move(l)
		m.tell(backend.Event{Kind: backend.EventGranted, Owner: a.op.Owner, Grant: m.grant(a, now)})
	}
	m.check(a, now)
}

// confirmed reports whether a majority has said, since the last doubt about a arose, that
// it still has its vote.
func (m *Machine) confirmed(a *acquisition) bool {
	n := 0
	for i := range a.votes {
		if v := &a.votes[i]; v.stands(a) && v.sure == a.doubts {
			n++
		}
	}
	return n >= m.majority
}

var errMissing = errors.New("the lock is gone: its keys were deleted or evicted")

// errMissing tells where the votes of a hold are gone.
func (m *Machine) errMissing(a *acquisition) error {
	why := make([]error, len(m.nodes))
	for i, n := range m.nodes {
		switch v := &a.votes[i]; {
		case v.missing:
			why[i] = errMissing
		case !v.stands(a):
			why[i] = n.why()
		}
	}
	return NodesError(m.Nodes, why)
}
