package vote

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A node is what the machine knows of one node, and what it is to be sent. Requests are
// sent in order, in batches, one at a time, and a batch without an answer is sent again
// over the next connection. Nothing that was sent is ever taken back: a release is queued
// behind the vote that it gives back.
type node struct {
	machine *Machine // immutable, as is index
	index   int

	state   nodeState
	err     error  // why it is down
	refuses bool   // that is what the server says
	unfit   error  // why it is asked for no new votes, or nil
	deaf    bool   // its messages do not come
	left    bool   // it has ended the session
	epoch   *epoch // or nil

	queue []*Request     // not sent yet, in order
	off   int            // of queue, withdrawn
	lacks []*acquisition // holds that lack the vote of the node
	owed  []*acquisition // over, and the node has refused to release what they had
	sent  []*Request     // the batch on its way, or to be sent again
	mark  uint64         // the number of the last in sent
	renew bool           // the epoch is to be renewed by the next batch
	beat  bool           // it is by the batch on its way

	asked    uint64 // the number of the last request or heartbeat
	answered uint64 // the number up to which all have an answer
	began    time.Time
	rtt      time.Duration
}

type nodeState uint8

const (
	nodeDialing nodeState = iota + 1
	nodeUp
	nodeDown
)

// silent reports whether an answer of the node is not to be counted on.
func (n *node) silent(now time.Time) bool {
	return n.state != nodeUp || !n.began.IsZero() && now.Sub(n.began) > n.lag()
}

// lag is after how long an answer is late.
func (n *node) lag() time.Duration {
	return min(max(100*time.Millisecond, 8*n.rtt), n.machine.TTL/6)
}

// lag is after how long an answer of any node is late.
func (m *Machine) lag() (longest time.Duration) {
	for _, n := range m.nodes {
		longest = max(longest, n.lag())
	}
	return longest
}

// why returns what is wrong with a node.
func (n *node) why() error {
	switch {
	case n.state == nodeUp:
		return nil
	case n.err == nil:
		return fmt.Errorf("%s: no answer yet", n.machine.Doing(n.index))
	}
	return n.err
}

func (n *node) wake() { n.machine.effects.Send[n.index] = true }

// add queues a request.
func (n *node) add(r *Request) {
	n.asked++
	r.seq = n.asked
	if r.Kind.binds() {
		r.of.votes[n.index].open++
	}
	n.queue = append(n.queue, r)
	n.wake()
}

// beats has the epoch renewed by the next batch.
func (n *node) beats() {
	n.asked++
	n.renew = true
	n.wake()
}

// withdraw takes out a request that was not sent. A node that does not answer must not
// make the queue grow.
func (n *node) withdraw(r *Request) {
	r.off = true
	if r.Kind.binds() {
		r.of.votes[n.index].open--
	}
	if n.off++; n.off > len(n.queue)/2 {
		n.queue = slices.DeleteFunc(n.queue, func(r *Request) bool { return r.off })
		n.off = 0
	}
}

// Up notes that a connection speaks for the session: for its epoch, or for a new one that
// the node began when it was asked to at that time.
func (m *Machine) Up(node int, asked time.Time, begun bool, now time.Time) {
	n := m.nodes[node]
	if begun {
		n.epoch = &epoch{until: m.renewal(asked)}
	}
	n.state, n.err, n.refuses = nodeUp, nil, false
	n.wake()
	m.reconsider(now)
	if begun {
		m.revoteAll(now)
	}
}

// Down notes that a connection has ended, or could not be made; refuses tells that the
// server says so.
func (m *Machine) Down(node int, why error, refuses bool, now time.Time) {
	n := m.nodes[node]
	n.state, n.err, n.refuses, n.began = nodeDown, why, refuses, time.Time{}
	m.reconsider(now)
}

// Joined reports whether a node has begun an epoch that it was not seen to end. One that
// was begun without an answer does not count: when it ends nobody here knows, and nothing
// was given in it.
func (m *Machine) Joined(node int) bool { return m.nodes[node].epoch != nil }

// Parted notes that nothing is left of the session at a node.
func (m *Machine) Parted(node int) {
	m.nodes[node].left = true
	m.effects.Moved = true
}

// Leaving returns how many nodes have ended the session, and how many of the others may
// still.
func (m *Machine) Leaving() (left, running int) {
	for _, n := range m.nodes {
		switch {
		case n.left || n.epoch == nil: // What it had there has ended before.
			left++
		case n.state == nodeUp:
			running++
		}
	}
	return left, running
}

// Standing returns how many nodes are up, how many are that or have failed, and why.
func (m *Machine) Standing() (up, tried int, why []error) {
	for _, n := range m.nodes {
		switch n.state {
		case nodeUp:
			up++
			tried++
		case nodeDown:
			tried++
		}
		why = append(why, n.why())
	}
	return up, tried, why
}

// Evicts notes why a node would lose votes, or that it would not: what it has it keeps as
// far as it does, and it is asked for no new votes.
func (m *Machine) Evicts(node int, why error) {
	if m.nodes[node].unfit = why; why != nil && m.opened {
		m.Notice(node, why)
	}
}

// ErrOver tells that a node does not know the session any more.
var ErrOver = errors.New("the node does not know the session any more")

var errForgotten = errors.New("too few nodes remember the session")

// Over ends the epoch of a node, and with it all votes of that node.
func (m *Machine) Over(node int, how End, now time.Time) {
	n := m.nodes[node]
	if n.epoch == nil {
		return
	}
	if n.epoch.over, n.epoch.end = true, how; how == Forgotten {
		n.epoch.until = now
	}
	if how != Restarted {
		m.doubt(now)
	}
	for a := range m.rota.All() {
		// It may have got the vote of another node since it stands on those that it does.
		if a.reliable(now) && a.lease.epochs[node] == n.epoch {
			m.restand(a, now)
		}
	}
	for _, l := range m.leases {
		if !l.ended(now) && (l.epochs.broken(m.majority) || !now.Before(l.epochs.deadline(m.majority))) {
			l.lapsed = true
		}
	}
	n.queue = slices.DeleteFunc(n.queue, func(r *Request) bool { return r.Kind == AskCheck && !r.off })
	for _, a := range m.acquisitions {
		v := &a.votes[node]
		v.check = nil
		if a.state == holding && !a.fresh && !a.lost && a.lease.lapsed && a.lease.epochs[node] == n.epoch {
			m.tell(backend.Event{Kind: backend.EventLost, Owner: a.op.Owner, Err: errForgotten})
		}
		if v.touched == n.epoch {
			v.over(how)
			v.touched = nil
			v.freed = v.freed || a.state == releasing
			if v.request == nil && v.state != voteAsked {
				v.state = voteNone
			}
		}
	}
	n.epoch = nil
}

// refusing reports whether there would be a majority if no node refused to serve, and
// whether those that are denied to the session alone keep it from having one.
func (m *Machine) refusing() (refusing, decisive bool) {
	up, refuse, deny := 0, 0, 0
	for _, n := range m.nodes {
		switch {
		case n.state == nodeUp:
			up++
		case n.refuses:
			refuse++
			if redislock.Lasting(n.err) {
				deny++
			}
		}
	}
	return up < m.majority && up+refuse >= m.majority, deny > len(m.nodes)-m.majority
}

// late reports whether a node that does not answer still may, without another connection.
func (m *Machine) late() bool {
	up, _, _ := m.Standing()
	return up >= m.majority
}
