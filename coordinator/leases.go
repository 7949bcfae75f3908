package coordinator

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/session"
)

// leases are the deadlines on which the holds of the open session depend. A lease that
// has lapsed is none of them: what is granted on its ID later hangs on a new one. The
// coordinator's goroutine owns them.
type leases struct {
	known map[uint32]*term
	timer *time.Timer   // looks at them
	grace time.Duration // how long before its deadline a lease is late
	watch bool          // the timer is not set for one of them
}

// A term is what is known of a lease.
type term struct {
	*session.Lease
	late bool // it was said that it was not renewed
}

// init has look called when it is time to look at the leases.
//
// A lease is renewed every third of the time to live, so that at least two thirds of
// that are left as long as all is well. When a renewal has had no answer for another
// sixth, it is late.
func (l *leases) init(ttl time.Duration, look func()) {
	l.known = make(map[uint32]*term)
	l.grace = ttl / 2
	l.timer = time.AfterFunc(time.Hour, look)
	l.timer.Stop()
}

func (l *leases) stop() { l.timer.Stop() }

func (l *leases) clear() {
	clear(l.known)
	l.timer.Stop()
	l.watch = false
}

// get returns the lease of an ID, or one that has lapsed.
func (l *leases) get(id uint32) *session.Lease {
	if t := l.known[id]; t != nil {
		return t.Lease
	}
	return session.LapsedLease()
}

// unwatched reports whether somebody has to look at the leases for the timer's sake.
func (l *leases) unwatched() bool { return l.watch }

// extend takes a deadline, or a lease without one. It is false when a holder has seen
// the lease past its deadline before: then it is a new one from now on.
func (l *leases) extend(given backend.Lease, asleep time.Duration) bool {
	t := l.known[given.ID]
	fresh := t == nil
	if !fresh && given.Until.IsZero() {
		return true
	}
	if fresh {
		t = l.add(given.ID)
	}
	if given.Until.IsZero() {
		return true
	}
	until := session.At(given.Until, asleep)
	if _, had := t.Until(); !had {
		l.watch = true
	}
	if t.Extend(until) {
		t.late = false
		return true
	}
	l.add(given.ID).Extend(until)
	return false
}

func (l *leases) add(id uint32) *term {
	t := &term{Lease: session.NewLease()}
	l.known[id] = t
	l.watch = true
	return t
}

// check forgets the leases that have lapsed and returns them, and those that have
// become late, with the earliest deadline of these, and sets the timer.
func (l *leases) check() (lapsed, late []uint32, deadline session.Instant) {
	l.watch = false
	var next session.Instant
	now := session.Now()
	for id, t := range l.known {
		until, ok := t.Until()
		if t.Lapsed() { // A holder may be the first to see it, even between these two.
			delete(l.known, id)
			lapsed = append(lapsed, id)
			continue
		}
		if !ok {
			continue
		}
		look := until
		if soon := until - session.Instant(l.grace); !t.late {
			if now < soon {
				look = soon
			} else {
				t.late = true
				late = append(late, id)
				if deadline == 0 || until < deadline {
					deadline = until
				}
			}
		}
		if next == 0 || look < next {
			next = look
		}
	}
	if next != 0 {
		l.timer.Reset(time.Duration(next - now))
	}
	return lapsed, late, deadline
}

// extend takes a lease that the store has renewed, or begun.
func (c *Coordinator) extend(given backend.Lease, asleep time.Duration) {
	if !c.leases.extend(given, asleep) {
		c.machine.Lapsed(given.ID)
	}
}

// depend takes the lease of a grant. A hold that moves to another lease is over if the
// one it leaves has lapsed: somebody else may have held the lock in between.
func (c *Coordinator) depend(owner uint64, on backend.Lease, asleep time.Duration) {
	known, id, held := c.machine.LeaseOf(owner)
	if !known {
		return // It was released since.
	}
	c.extend(on, asleep)
	if held && id != on.ID && c.leases.get(id).Lapsed() {
		delete(c.leases.known, id)
		c.machine.Lapsed(id)
	}
}

// seen declares the lease of a claim over if its holder was the first to see it lapse.
func (c *Coordinator) seen(claim *Claim) {
	l := claim.lease.Load()
	if l == nil || !l.Over() || claim.state != held {
		return
	}
	if _, id, ok := c.machine.LeaseOf(claim.entry.owner); ok && c.leases.get(id).Over() {
		delete(c.leases.known, id)
		c.machine.Lapsed(id)
	}
}

// checkLeases ends what depends on leases that have lapsed, and announces those that
// the store has not renewed in time.
func (c *Coordinator) checkLeases() {
	lapsed, late, deadline := c.leases.check()
	for _, id := range lapsed {
		c.machine.Lapsed(id)
	}
	holds := 0
	for _, id := range late {
		if n := c.machine.HoldsOn(id); n > 0 {
			holds += n
			c.counters.missed.Add(1)
		}
	}
	if holds == 0 {
		return
	}
	left := time.Duration(deadline - session.Now())
	c.config.Logger.Warn("dlock: leases not renewed; holds will be lost", "backend", c.config.Backend.String(),
		"holds", holds, "deadline", time.Now().Add(left), "left", left.Round(time.Millisecond), "error", c.troubled(time.Time{}))
}
