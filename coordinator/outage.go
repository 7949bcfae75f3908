package coordinator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/dlock-go/dlock/backend"
)

// This file has what the machine does when the store does not: leases that lapse,
// sessions that end, and those that cannot be opened.

// Lapsed takes the end of a lease.
func (m *Machine) Lapsed(lease uint32) {
	if m.leased[lease] == 0 {
		return
	}
	m.seq++
	for _, e := range m.on(lease) {
		m.drop(e, ErrLapsed, nil)
	}
}

// on returns the entries that depend on a lease, in order.
func (m *Machine) on(lease uint32) []*entry {
	return m.ordered(func(e *entry) bool { return e.state == granted && e.grant.Lease.ID == lease })
}

// HoldsOn returns how many claims hold on a lease.
func (m *Machine) HoldsOn(lease uint32) int {
	if m.leased[lease] == 0 {
		return 0
	}
	n := 0
	for _, e := range m.on(lease) {
		n += e.holders.Len()
	}
	return n
}

// LeaseOf tells whether a grant of an owner would be taken, and on which lease it
// holds, if it does.
func (m *Machine) LeaseOf(owner uint64) (known bool, lease uint32, held bool) {
	e := m.entries[owner]
	if e == nil || e.state == releasing {
		return false, 0, false
	}
	return true, e.grant.Lease.ID, e.state == granted
}

// Down takes the end of the session, and with it of all that it held or awaited.
// Who waits is asked for again in the next session. Of the releases under way those
// of unsure may have taken effect; the others came too late.
func (m *Machine) Down(why error, unsure map[uint64]bool) {
	m.seq++
	m.unreachable(why)
	m.releases, m.repeats = m.releases[:0], m.repeats[:0]
	for _, e := range m.ordered(nil) {
		if e.state != releasing {
			m.drop(e, lost(why), why)
		} else if c := e.leaver; unsure[e.owner] {
			m.freed(e, Effect{Err: fmt.Errorf("not known to be released: %w", why)})
		} else if c != nil {
			m.freed(e, Effect{Err: lost(why)})
		}
	}
	m.releases = m.releases[:0]
	for owner, e := range m.entries {
		delete(m.entries, owner)
		m.freeEntry(e)
	}
}

// Unreachable takes a failed attempt to open a session: those who cannot wait are
// refused, and if no other attempt can help so are those who wait.
func (m *Machine) Unreachable(why error) {
	m.seq++
	m.unreachable(why)
	if errors.Is(why, backend.ErrUnsupported) || errors.Is(why, backend.ErrDenied) {
		m.refuseWaiters(why)
	}
}

// refuseWaiters refuses all that wait in this process, in the order of their arrival.
func (m *Machine) refuseWaiters(why error) {
	var waiters []*Claim
	for _, l := range m.locks {
		for _, q := range []*queue{&l.exclusive, &l.shared} {
			for q.Len() > 0 {
				waiters = append(waiters, q.Pop())
			}
		}
		m.touch(l)
	}
	slices.SortFunc(waiters, func(a, b *Claim) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range waiters {
		c.lock = nil
		m.refuse(c, why)
	}
	m.tidy()
}

func (m *Machine) unreachable(why error) {
	for m.tries.Len() > 0 {
		c := m.tries.Pop()
		m.refuse(c, why)
	}
}
