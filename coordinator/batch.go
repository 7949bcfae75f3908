package coordinator

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// Batch appends to ops what the store has to be asked now, and counts it as
// asked. Releases come first, so that what they free is there for the others.
func (m *Machine) Batch(ops []backend.Op, now time.Time) []backend.Op {
	ops = m.flush(ops)
	for _, owner := range m.repeats {
		if e := m.entries[owner]; e != nil && e.again {
			e.again = false
			if e.state == asked || e.state == queued {
				ops = append(ops, e.acquire())
			}
		}
	}
	m.repeats = m.repeats[:0]
	for i := 0; i < len(m.dirty); i++ { // Settling may append.
		l := m.dirty[i]
		l.dirty = false
		ops = m.settle(l, ops)
		m.forget(l)
	}
	clear(m.dirty)
	m.dirty, m.crowd = m.dirty[:0], 0
	for m.tries.Len() > 0 {
		ops = m.askTry(m.tries.Pop(), ops, now)
	}
	return ops
}

func (m *Machine) flush(ops []backend.Op) []backend.Op {
	ops = append(ops, m.releases...)
	clear(m.releases)
	m.releases = m.releases[:0]
	return ops
}

// settle brings the places that a lock has at the store in line with its waiters.
func (m *Machine) settle(l *lock, ops []backend.Op) []backend.Op {
	modes := [...]backend.Mode{backend.Exclusive, backend.Shared}
	if l.readersFirst() {
		modes[0], modes[1] = modes[1], modes[0]
	}
	for _, mode := range modes {
		places := l.places(mode)
		want := l.wanted(mode)
		for places.Len() > want {
			m.releaseEntry(places.Last()) // It has waited least.
		}
		ops = m.flush(ops)
		for places.Len() < want {
			ops = append(ops, m.ask(l, mode, nil).acquire())
		}
	}
	return ops
}

// askTry asks the store on behalf of a claim that does not wait.
func (m *Machine) askTry(c *Claim, ops []backend.Op, now time.Time) []backend.Op {
	l := m.lock(c)
	if !m.decided(c, l, now) {
		ops = append(ops, m.ask(l, c.Mode, c).acquire())
	}
	m.forget(l)
	return ops
}

// ask makes an entry: for one claim that does not wait, or a place in the store's
// queue.
func (m *Machine) ask(l *lock, mode backend.Mode, try *Claim) *entry {
	m.owner++
	e := m.newEntry()
	e.owner, e.lock, e.mode, e.state = m.owner, l, mode, asked
	m.entries[e.owner] = e
	l.all++
	if try != nil {
		e.try, try.entry = try, e
		m.asking.Push(try, &try.link)
		return e
	}
	e.place = true
	m.places++
	l.places(mode).Push(e, &e.link)
	if mode == backend.Shared {
		// A writer who came after the first reader waits behind that one at the
		// store, and readers who came after the writer wait behind the writer.
		e.cover = m.seq + 1
		if w := l.exclusive.First(); w != nil && l.passed < backend.MaxWriters && w.seq > l.shared.First().seq {
			e.cover = w.seq
		}
	}
	return e
}

func (m *Machine) newEntry() *entry {
	n := len(m.freeEntries)
	if n == 0 {
		return new(entry)
	}
	e := m.freeEntries[n-1]
	m.freeEntries = m.freeEntries[:n-1]
	return e
}

// freeEntry forgets an entry.
func (m *Machine) freeEntry(e *entry) {
	delete(m.entries, e.owner)
	*e = entry{}
	if len(m.freeEntries) < maxFree {
		m.freeEntries = append(m.freeEntries, e)
	}
}
