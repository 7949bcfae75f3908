package vote

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A batch is the ops of one Apply. Ops on one lock run in their order, all others at the
// same time.
type batch struct {
	began        time.Time
	ops          []backend.Op
	results      []backend.Result
	acquisitions []*acquisition // by op; nil while it has not begun, or when nothing is awaited
	waiting      int            // ops without an answer
	marks        [MaxNodes]uint64
	later        bool            // some ops have not begun
	unknown      map[uint64]bool // owners of whom an op is Unknown: what they ask for later is, too
	leases       []backend.Lease
}

// Start begins the ops of an Apply, and has all epochs renewed. The last ones are over.
func (m *Machine) Start(ops []backend.Op, now time.Time) {
	for _, n := range m.nodes {
		n.settle()
		n.beats()
	}
	b := &m.batch
	b.began = now
	b.ops = ops
	b.results = append(b.results[:0], make([]backend.Result, len(ops))...)
	b.acquisitions = append(b.acquisitions[:0], make([]*acquisition, len(ops))...)
	b.waiting, b.later = len(ops), len(ops) > 0
	clear(m.deciding)
	clear(b.unknown)
	m.proceed(now)
	m.mark()
	m.upkeep(now)
}

// mark notes what has been asked of the nodes by now.
func (m *Machine) mark() {
	for i, n := range m.nodes {
		m.batch.marks[i] = n.asked
	}
}

// proceed begins the ops that can begin.
func (m *Machine) proceed(now time.Time) {
	b := &m.batch
	if !b.later {
		return
	}
	b.later = false
	var behind map[string]bool // locks with an op that has not begun
	for i := range b.ops {
		op := &b.ops[i]
		if b.acquisitions[i] != nil || b.results[i].State != 0 {
			continue
		}
		a := m.acquisitions[op.Owner]
		lock := string(rune(op.Class)) + op.Name
		if behind[lock] || op.Do == backend.Release && a != nil && m.deciding[a] {
			// A Release takes effect after its Acquire, whose outcome is to be told.
			if behind == nil {
				behind = make(map[string]bool)
			}
			behind[lock], b.later = true, true
			continue
		}
		switch {
		case b.unknown[op.Owner]:
			b.results[i] = backend.Result{State: backend.Unknown}
		case op.Do == backend.Acquire:
			b.acquisitions[i], b.results[i] = m.acquire(op, now)
		case op.Do == backend.Release:
			b.acquisitions[i], b.results[i] = m.release(a, now)
		default:
			b.results[i] = backend.Result{State: backend.Failed, Err: backend.ErrUnsupported}
		}
		if b.results[i].State != 0 {
			b.waiting--
		}
	}
}

// acquire begins an Acquire, or finds out what has become of it.
func (m *Machine) acquire(op *backend.Op, now time.Time) (*acquisition, backend.Result) {
	if err := op.Check(); err != nil {
		return nil, backend.Result{State: backend.Failed, Err: err}
	}
	a := m.acquisitions[op.Owner]
	switch {
	case a == nil:
		a = newAcquisition(op, len(m.nodes), now)
		m.acquisitions[op.Owner] = a
		m.rota.Push(a, &a.link)
		m.attempt(a, now)
	case a.op.Class != op.Class || a.op.Name != op.Name || a.op.Mode != op.Mode || a.op.Limit != op.Limit:
		return nil, backend.Result{State: backend.Failed, Err: backend.ErrOwner}
	case a.state == waiting && now.Sub(a.polled) > PollEvery, a.state == waiting && !a.enlisted && a.due.IsZero():
		m.attempt(a, now)
	}
	m.deciding[a] = true
	return a, backend.Result{}
}

// release begins a Release.
func (m *Machine) release(a *acquisition, now time.Time) (*acquisition, backend.Result) {
	if a == nil {
		return nil, backend.Result{State: backend.Released}
	}
	if a.state != releasing {
		if a.lease != nil {
			m.prove(a, now)
			a.lease.holders--
		}
		a.state, a.due = releasing, time.Time{}
		a.link.Remove()
	}
	m.releaseVotes(a)
	return a, backend.Result{}
}

// Look decides the ops that can be decided by now, and all at the limit. over tells that
// none is left, all that no other answer is worth waiting for.
func (m *Machine) Look(now, limit time.Time) (over, all bool) {
	b := &m.batch
	late := !now.Before(limit)
	for m.decide(now, late) {
		if b.later {
			m.proceed(now)
			m.mark()
		}
	}
	beaten := 0
	all = true
	for i, n := range m.nodes {
		switch {
		case n.answered >= b.marks[i]:
			beaten++
		case !n.silent(now):
			all = false
		}
	}
	over = late || b.waiting == 0 && (all || beaten >= m.majority)
	// Who acquires does not wait for more than he needs.
	return over, all || late || len(b.ops) > 0 && !b.releases()
}

// decide answers the ops that can be answered, and reports whether there was one.
func (m *Machine) decide(now time.Time, late bool) (progress bool) {
	b := &m.batch
	for i, a := range b.acquisitions {
		if a == nil || b.results[i].State != 0 {
			continue
		}
		if m.deciding[a] {
			m.weigh(a, now)
		}
		r, ok := m.result(&b.ops[i], a, now, late)
		if !ok {
			continue
		}
		b.results[i] = r
		b.waiting--
		progress = true
		if r.State == backend.Unknown {
			if b.unknown == nil {
				b.unknown = make(map[uint64]bool)
			}
			b.unknown[a.op.Owner] = true
		}
		if b.ops[i].Do == backend.Acquire {
			delete(m.deciding, a)
		}
	}
	return progress
}

// releases reports whether there is a Release in the batch.
func (b *batch) releases() bool {
	for i := range b.ops {
		if b.ops[i].Do == backend.Release {
			return true
		}
	}
	return false
}

// result returns the answer to an op, if there is one.
func (m *Machine) result(op *backend.Op, a *acquisition, now time.Time, late bool) (backend.Result, bool) {
	if op.Do == backend.Release {
		r, ok := m.freed(a, now, late)
		if ok && (r.State == backend.Released || r.State == backend.NotHeld) {
			delete(m.acquisitions, op.Owner)
		}
		return r, ok
	}
	switch a.state {
	case holding:
		switch ended := a.lease.ended(now); {
		case a.lost:
			return m.drop(a, redislock.ErrLost), true
		case ended && a.fresh:
			m.ungrant(a)
			m.weigh(a, now)
			return backend.Result{}, false
		case ended:
			return m.drop(a, redislock.ErrDeadline), true
		}
		return backend.Result{State: backend.Granted, Grant: m.grant(a, now)}, true
	case refused:
		delete(m.acquisitions, op.Owner)
		return a.result, true
	case releasing: // An Acquire behind the Release of its owner.
		return backend.Result{State: backend.Failed, Err: backend.ErrOwner}, true
	}
	switch {
	case a.enlisted && a.op.Wait && (a.state == waiting || a.round > 1):
		return backend.Result{State: backend.Queued}, true
	case a.stuck && a.refusal != nil:
		return backend.Result{State: backend.Refused, Err: a.refusal}, true
	case a.stuck:
		_, _, whys := m.Standing()
		why := NodesError(m.Nodes, whys)
		switch refusing, decisive := m.refusing(); {
		case decisive && redislock.Lasting(why):
			return m.drop(a, why), true
		case refusing:
			return backend.Result{State: backend.Refused, Err: why}, true
		}
		return backend.Result{State: backend.Unknown, Err: why}, true
	}
	return backend.Result{}, false
}

// drop forgets an acquisition whose Acquire fails, and returns the answer.
func (m *Machine) drop(a *acquisition, why error) backend.Result {
	if a.lease != nil {
		a.lease.holders--
	}
	m.end(a, backend.Result{State: backend.Failed, Err: why})
	delete(m.acquisitions, a.op.Owner)
	return a.result
}

// Finish returns the answers of the batch; what has none is Unknown.
func (m *Machine) Finish(now time.Time) ([]backend.Result, []backend.Lease) {
	b := &m.batch
	for i := range b.results {
		switch r := &b.results[i]; r.State {
		case 0:
			r.State = backend.Unknown
		case backend.Granted:
			r.Grant.Lease = b.acquisitions[i].lease.public() // It was renewed meanwhile, perhaps.
		}
	}
	clear(m.deciding)
	clear(b.acquisitions)
	b.leases = m.due(b.leases[:0], now)
	return b.results, b.leases
}
