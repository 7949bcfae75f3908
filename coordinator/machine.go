package coordinator

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A Machine decides who of the process holds, who waits, and what to ask the
// store for. It is pure: it is told what happened and at what time, and leaves
// behind effects for its claims and operations for the store. It is not safe for
// concurrent use.
//
// The operations are made as late as possible, when the store is ready for a
// batch, so that what came and went in the meantime costs nothing.
type Machine struct {
	caps    backend.Caps
	handoff time.Duration

	locks   map[lockKey]*lock
	entries map[uint64]*entry // by owner, of any state
	owner   uint64            // the last one given out
	seq     uint64            // the order of what happens
	waiting int               // claims that wait
	holds   int               // claims that hold
	closed  bool

	dirty    []*lock      // to be settled
	crowd    int          // of dirty, above which those of which nothing is left are dropped
	tries    queue        // claims that do not wait, not asked for yet
	asking   queue        // claims that do not wait, asked for; the first has waited longest
	leaving  queue        // claims whose release has no answer yet; likewise
	releases []backend.Op // not sent yet, with what has to go before one of them
	repeats  []uint64     // owners whose Acquire is to be applied again
	places   int          // entries that wait at the store, or may

	leased map[uint32]int // how many granted entries depend on a lease

	effects []Effect

	// What is left over, for the next of its kind.
	freeLocks   []*lock
	freeEntries []*entry
}

type lockKey struct {
	class backend.Class
	name  string
}

// EffectKind tells what has become of a claim.
type EffectKind uint8

const (
	// Grant: the claim holds, on Effect.Lease.
	Grant EffectKind = iota + 1
	// Refuse: the claim does not and will not hold; Effect.Err tells why.
	Refuse
	// Freed: the claim's release is done, or, with an error, not confirmed.
	Freed
	// Move: the hold depends on Effect.Lease from now on.
	Move
	// End: the hold is over without its holder's doing.
	End
	// Missed: the hold, over by now, had been lost before that.
	Missed
)

// An Effect is what the machine wants a claim to hear.
type Effect struct {
	Kind  EffectKind
	Claim *Claim
	Lease backend.Lease
	Token uint64
	Via   Via
	Late  bool // of Freed: the release goes on, but nobody is to wait for it
	Told  bool // the loss in Err was told before
	Err   error
}

// lost reports whether a hold was lost, which is news.
func (e *Effect) lost() bool {
	return e.Err != nil && !e.Told && e.Kind != Refuse && errors.Is(e.Err, ErrLost)
}

// NewMachine returns a machine for a store with these capabilities, which hands
// locks on in memory for at most handoff while somebody elsewhere waits.
func NewMachine(caps backend.Caps, handoff time.Duration) *Machine {
	return &Machine{
		caps:    caps,
		handoff: handoff,
		locks:   make(map[lockKey]*lock),
		entries: make(map[uint64]*entry),
		leased:  make(map[uint32]int),
	}
}

// Effects returns what has to be told since the last call to Told, in order.
func (m *Machine) Effects() []Effect { return m.effects }

// Told forgets the effects: after a burst they would keep its claims from being
// garbage.
func (m *Machine) Told() {
	clear(m.effects)
	m.effects = m.effects[:0]
	if cap(m.effects) > maxFree {
		m.effects = nil
	}
}

// Pending reports whether Batch may have something to ask.
func (m *Machine) Pending() bool {
	return len(m.dirty) > 0 || m.tries.Len() > 0 || len(m.releases) > 0 || len(m.repeats) > 0
}

// Waiting returns how many claims wait.
func (m *Machine) Waiting() int { return m.waiting }

// Awaiting reports whether news from the store is expected.
func (m *Machine) Awaiting() bool { return m.places > 0 }

// Empty reports whether nothing is held, awaited or being released.
func (m *Machine) Empty() bool { return len(m.entries) == 0 && m.waiting == 0 }

// Submit adds a claim.
func (m *Machine) Submit(c *Claim, now time.Time) {
	m.seq++
	c.seq, c.since = m.seq, now
	if m.closed {
		m.refuse(c, ErrClosed)
		return
	}
	l := m.lock(c)
	switch {
	case m.decided(c, l, now):
	case c.Try:
		m.wait(c, &m.tries)
	default:
		c.lock = l
		c.ahead.Store(int32(l.waiters(c.Mode).Len()))
		m.wait(c, l.waiters(c.Mode))
		m.announce(l)
		m.touch(l)
	}
	m.forget(l)
}

// decided admits or refuses a claim if that needs no word from the store.
func (m *Machine) decided(c *Claim, l *lock, now time.Time) bool {
	switch {
	case l.limit != c.Limit:
		m.refuse(c, ErrLimit)
	case c.Mode == backend.Shared && l.exclusive.Len() == 0 && m.joinable(l, now):
		m.admit(c, l.open)
	case c.Try && l.full(c.Mode):
		m.refuse(c, ErrBusy)
	default:
		return false
	}
	return true
}

// Cancel ends a claim whose goroutine has given up and does not listen any more.
// What was granted in the same moment is given back.
func (m *Machine) Cancel(c *Claim, now time.Time) {
	m.seq++
	m.moveOn(c)
	switch {
	case c.state == held:
		m.leave(c, now)
	case c.link.List() != nil:
		c.link.Remove()
		if l := c.lock; l != nil {
			m.announce(l)
			m.touch(l)
			m.forget(l)
			m.tidy()
		}
		if c.entry != nil {
			c.entry.try, c.entry = nil, nil // Its grant, if one comes, will be released.
		}
	}
	c.state = ended
}

// Release gives back what a claim holds. Freed answers it.
func (m *Machine) Release(c *Claim, now time.Time) {
	m.seq++
	if c.state != held {
		m.effect(Effect{Kind: Freed, Claim: c, Err: c.Ended(), Told: true})
		return
	}
	if e := m.leave(c, now); e != nil {
		c.state, c.since, c.entry, e.leaver = leaving, now, e, c
		m.leaving.Push(c, &c.link)
		return
	}
	c.state = ended
	m.effect(Effect{Kind: Freed, Claim: c})
}

// Close refuses all that wait and all that come, and gives back what is held.
func (m *Machine) Close() {
	m.seq++
	m.closed = true
	for m.tries.Len() > 0 {
		m.refuse(m.tries.Pop(), ErrClosed)
	}
	m.refuseWaiters(ErrClosed)
	for _, e := range m.ordered(nil) {
		m.drop(e, errClosing, ErrClosed)
	}
}

// Answered takes the outcomes of operations.
func (m *Machine) Answered(ops []backend.Op, results []backend.Result, now time.Time) {
	m.seq++
	for i := range results {
		e := m.entries[ops[i].Owner]
		if e == nil {
			continue
		}
		r := &results[i]
		if ops[i].Do == backend.Release {
			m.released(e, r.State == backend.NotHeld)
			continue
		}
		switch r.State {
		case backend.Granted:
			m.grant(e, r.Grant, now)
		case backend.Queued:
			m.queued(e)
		case backend.Busy:
			m.refused(e, ErrBusy)
		default:
			m.refused(e, cmp.Or(r.Err, errors.New("driver gave no reason")))
		}
	}
}

// Heard takes events.
func (m *Machine) Heard(events []backend.Event, now time.Time) {
	m.seq++
	for i := range events {
		ev := &events[i] // An EventNotice is about no entry.
		e := m.entries[ev.Owner]
		if e == nil || e.state == releasing {
			continue
		}
		switch ev.Kind {
		case backend.EventGranted:
			m.grant(e, ev.Grant, now)
		case backend.EventTurn:
			m.repeat(e)
		case backend.EventContended:
			m.contend(e.lock, now)
		case backend.EventLost:
			if e.state == granted {
				m.drop(e, lost(ev.Err), nil)
			} else {
				m.repeat(e) // It was its place that was lost.
			}
		}
	}
}

// Overdue answers those who are not to wait for the store any longer: tries are
// refused for the reason given, and releases are left to go on without anybody
// waiting. It reports whether others wait still.
func (m *Machine) Overdue(since time.Time, why error) bool {
	m.seq++
	for _, q := range []*queue{&m.tries, &m.asking} {
		for q.Len() > 0 && q.First().since.Before(since) {
			c := q.Pop()
			if c.entry != nil {
				c.entry.try, c.entry = nil, nil
			}
			m.refuse(c, why)
		}
	}
	for m.leaving.Len() > 0 && m.leaving.First().since.Before(since) {
		m.freed(m.leaving.First().entry, Effect{Late: true})
	}
	return m.Impatient()
}

// Impatient reports whether somebody waits who is not to wait for ever.
func (m *Machine) Impatient() bool { return m.tries.Len()+m.asking.Len()+m.leaving.Len() > 0 }

// freed answers the claim that waits for an entry's release, if there is one.
func (m *Machine) freed(e *entry, answer Effect) {
	c := e.leaver
	if c == nil {
		return
	}
	e.leaver, c.entry = nil, nil
	c.link.Remove()
	c.state = ended
	answer.Kind, answer.Claim = Freed, c
	m.effect(answer)
}

// lock returns what is known of a claim's lock.
func (m *Machine) lock(c *Claim) *lock {
	k := lockKey{c.Class, c.Name}
	l := m.locks[k]
	if l == nil {
		if n := len(m.freeLocks); n > 0 {
			l, m.freeLocks = m.freeLocks[n-1], m.freeLocks[:n-1]
		} else {
			l = new(lock)
		}
		l.class, l.name = c.Class, c.Name
		m.locks[k] = l
	}
	if l.idle() {
		l.limit = c.Limit
	}
	return l
}

// forget drops a lock of which nothing is left to know.
func (m *Machine) forget(l *lock) {
	if l.dirty || !l.idle() {
		return
	}
	delete(m.locks, lockKey{l.class, l.name})
	*l = lock{}
	if len(m.freeLocks) < maxFree {
		m.freeLocks = append(m.freeLocks, l)
	}
}

// maxFree bounds what is kept for reuse.
const maxFree = 1024

// touch has a lock settled before the next batch.
func (m *Machine) touch(l *lock) {
	if !l.dirty {
		l.dirty = true
		m.dirty = append(m.dirty, l)
	}
}

// tidy forgets locks of which nothing is left to know before they are settled, if there
// are many: without a session none is, for as long as that takes.
func (m *Machine) tidy() {
	if len(m.dirty) < max(m.crowd, maxFree) {
		return
	}
	m.dirty = slices.DeleteFunc(m.dirty, func(l *lock) bool {
		l.dirty = !l.idle()
		m.forget(l)
		return !l.dirty
	})
	m.crowd = 2 * len(m.dirty)
}

// ordered returns the entries that match, or all for nil, in the order in which they
// were asked for.
func (m *Machine) ordered(match func(*entry) bool) []*entry {
	var all []*entry
	for _, e := range m.entries {
		if match == nil || match(e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.owner, b.owner) })
	return all
}

func (m *Machine) effect(e Effect) { m.effects = append(m.effects, e) }

// wait has a claim wait in a queue.
func (m *Machine) wait(c *Claim, q *queue) {
	c.state = waiting
	q.Push(c, &c.link)
	m.waiting++
}

// moveOn counts a claim that is about to wait no longer.
func (m *Machine) moveOn(c *Claim) {
	if c.state == waiting {
		m.waiting--
	}
}

func (m *Machine) refuse(c *Claim, why error) {
	m.moveOn(c)
	c.state = ended
	m.effect(Effect{Kind: Refuse, Claim: c, Err: why})
}
