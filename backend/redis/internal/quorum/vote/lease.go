package vote

import (
	"cmp"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// leastLeft is how much of a time to live has to remain of a hold when it begins.
func leastLeft(ttl time.Duration) time.Duration { return ttl / 8 }

// A lease is what all holds have that stand on votes of the same epochs. It ends when too
// few of these are left for a majority: until then nobody else can have one.
type lease struct {
	epochs  epochs
	id      uint32
	until   time.Time
	known   bool      // somebody was told of it
	told    time.Time // the deadline that Finish reported last
	lapsed  bool      // was seen past its deadline
	holders int
}

// ended reports whether l is past its deadline, now or ever before.
func (l *lease) ended(now time.Time) bool {
	if !l.lapsed && !now.Before(l.until) {
		l.lapsed = true
	}
	return l.lapsed
}

func (l *lease) public() backend.Lease { return backend.Lease{ID: l.id, Until: l.until} }

// lease returns what votes of these epochs stand on.
func (m *Machine) lease(e epochs, now time.Time) *lease {
	l := m.leases[e]
	if l == nil || l.ended(now) {
		m.lastLease++
		l = &lease{epochs: e, id: m.lastLease, until: e.deadline(m.majority)}
		m.leases[e] = l
	}
	return l
}

// move has a hold stand on another lease.
func (a *acquisition) move(l *lease) {
	if a.lease != nil {
		a.lease.holders--
	}
	if a.lease = l; l != nil {
		l.holders++
	}
}

// extend moves the deadlines that a renewed epoch has moved.
func (m *Machine) extend(now time.Time) {
	for _, l := range m.leases {
		if until := l.epochs.deadline(m.majority); !l.ended(now) && until.After(l.until) {
			l.until = until
		}
	}
}

// due returns the leases whose deadline is new, or that too few nodes have renewed for the
// present batch. Those that nothing depends on any more are among them: whoever has a hold
// may not have heard yet that it was moved.
func (m *Machine) due(leases []backend.Lease, now time.Time) []backend.Lease {
	for e, l := range m.leases {
		switch {
		case l.holders == 0 && (l.ended(now) || e.strength() < m.majority):
			delete(m.leases, e)
		case !l.known || l.ended(now):
			// Nobody has ever heard of it, or it is not to be heard of again.
		case l.until.After(l.told):
			l.told = l.until
			leases = append(leases, l.public())
		case l.holders > 0 && m.unrenewed(l.until) && m.forsaken(l, now):
			lease := l.public()
			lease.Err = m.errLease(l)
			leases = append(leases, lease)
		}
	}
	return leases
}

// renewal returns until when an epoch lasts that was begun or renewed by what was sent at
// that time.
func (m *Machine) renewal(sent time.Time) time.Time { return sent.Add(m.TTL - redislock.Drift(m.TTL)) }

// unrenewed reports whether a deadline is from before the present batch.
func (m *Machine) unrenewed(until time.Time) bool { return until.Before(m.renewal(m.batch.began)) }

// forsaken reports whether too few nodes are about to renew a lease.
func (m *Machine) forsaken(l *lease, now time.Time) bool {
	n := 0
	for i, node := range m.nodes {
		if e := l.epochs[i]; e != nil && !e.over && !node.silent(now) {
			n++
		}
	}
	return n < m.majority
}

// errLease tells why a lease was not renewed.
func (m *Machine) errLease(l *lease) error {
	why := make([]error, len(m.nodes))
	for i, node := range m.nodes {
		switch e := l.epochs[i]; {
		case e == nil:
		case e.over:
			why[i] = ErrOver
		case m.unrenewed(e.until):
			why[i] = cmp.Or(node.why(), redislock.ErrStraggler)
		}
	}
	return NodesError(m.Nodes, why)
}
