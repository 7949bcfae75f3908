package coordinator

// A Footprint is how much a coordinator keeps.
type Footprint struct {
	Locks, Entries, Dirty, Releases, Repeats, Places, Leased, Leases, Free int
}

// Footprint tells what c keeps. It must be idle: nobody calls it, and no answer is
// awaited.
func (c *Coordinator) Footprint() Footprint {
	m := c.machine
	return Footprint{
		Locks: len(m.locks), Entries: len(m.entries), Dirty: len(m.dirty), Releases: len(m.releases), Repeats: len(m.repeats),
		Places: m.places, Leased: len(m.leased), Leases: len(c.leases.known), Free: len(m.freeLocks) + len(m.freeEntries),
	}
}
