package vote

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file is how an acquisition ends at the nodes.

// prove begins to find out whether a hold that is released was one until then.
func (m *Machine) prove(a *acquisition, now time.Time) {
	if a.fresh {
		return // Nobody was told that it is held.
	}
	a.granted = true
	for i := range a.votes {
		v := &a.votes[i]
		v.tried = false
		switch e := a.lease.epochs[i]; {
		case v.stands(a), v.open > 0 && v.touched != nil:
			v.proof = proofOpen
		case e != nil && e.over && e.end == Restarted && now.Before(e.until):
			v.proof = proofKept
		}
	}
}

// answered takes a node's answer to a release.
func (v *vote) answered(r *Request, had bool) {
	if v.proof != proofOpen {
		return
	}
	v.proof = proofNone
	if had || r.again { // What was there, the first one may have released.
		v.proof = proofKept
	}
}

// over takes the end of the epoch that a vote may have been given in.
func (v *vote) over(how End) {
	if v.proof != proofOpen {
		return
	}
	v.proof = proofNone
	if how == Restarted || v.release != nil && v.release.sent {
		v.proof = proofKept
	}
}

// freed returns the answer to a Release, if there is one.
func (m *Machine) freed(a *acquisition, now time.Time, late bool) (backend.Result, bool) {
	var freed, pending, refusing, kept, open int
	hope := false // an answer that is still to come tells whether it was held
	why := make([]error, len(m.nodes))
	for i := range a.votes {
		v, n := &a.votes[i], m.nodes[i]
		switch {
		case v.freed:
			freed++
		case v.refusal != nil:
			refusing++
			why[i] = v.refusal
		case n.state == nodeUp:
			pending++
		case n.refuses:
			refusing++
			fallthrough
		default:
			why[i] = n.why()
		}
		switch v.proof {
		case proofKept:
			kept++
		case proofOpen:
			open++
			hope = hope || !n.silent(now)
		}
	}
	switch {
	case freed >= m.majority && a.granted && kept+open < m.majority:
		return backend.Result{State: backend.NotHeld}, true
	case freed >= m.majority && a.granted && kept < m.majority && hope && !late:
		return backend.Result{}, false
	case freed >= m.majority:
		return backend.Result{State: backend.Released}, true
	case freed+pending >= m.majority:
		return backend.Result{}, false
	case refusing > 0 && freed+pending+refusing >= m.majority:
		return backend.Result{State: backend.Refused, Err: NodesError(m.Nodes, why)}, true
	}
	return backend.Result{State: backend.Unknown, Err: NodesError(m.Nodes, why)}, true
}

// releaseVotes has all nodes release what they have given a, or still may.
func (m *Machine) releaseVotes(a *acquisition) {
	held := a.state == releasing && a.lease != nil
	for i, n := range m.nodes {
		v := &a.votes[i]
		if v.request != nil {
			n.withdraw(v.request)
			v.request = nil
		}
		v.state = voteNone
		switch {
		case v.open == 0 && (n.epoch == nil || v.touched != n.epoch):
			v.freed = true // The node knows nothing of it, and will not hear of it.
		case v.dirty || v.release == nil && !v.freed:
			v.dirty, v.freed, v.refusal = false, false, nil
			v.release = &Request{Kind: AskRelease, of: a, Flag: held, again: v.tried}
			v.tried = true
			n.add(v.release)
		}
	}
	m.leaveSlot(a)
}

// settle has the node asked again to release what it has refused to, for acquisitions that
// nobody else asks about.
func (n *node) settle() {
	for _, a := range n.owed {
		if v := &a.votes[n.index]; v.release == nil && v.touched == n.epoch && n.epoch != nil {
			v.release = &Request{Kind: AskRelease, of: a}
			n.add(v.release)
		}
	}
	n.owed = nil
}
