package file

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// Unlink removes a file that is in use.
var Unlink = flock.Unlink

// Dir returns the directory of a store.
func Dir(b backend.Backend) string { return b.(*Store).dir }

// Remote makes a store behave as on a network file system: it polls and does not
// map its clock.
func Remote(s *Store) *Store {
	s.isLocal = func() bool { return false }
	return s
}

// WithoutPolls keeps those who wait now from looking by themselves, for an hour or until
// something wakes them: polls would hide a ring that is missing.
func WithoutPolls(b backend.Session) {
	s := b.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.retries {
		a.at, a.delay = s.now.Add(time.Hour), calmPoll
	}
	s.hurry()
}

// Rest has a session close the files that it keeps open between uses.
func Rest(b backend.Session) {
	s := b.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest()
}

// Hears reports whether the system tells a session of what others do.
func Hears(b backend.Session) bool {
	s := b.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch.Exact()
}

// Kept returns how many of each thing a session remembers.
func Kept(b backend.Session) map[string]int {
	s := b.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := 0
	for _, l := range s.locks {
		slots += len(l.pool.slots)
	}
	return map[string]int{
		"claims": len(s.claims), "locks": len(s.locks), "slots": slots, "subjects": len(s.subjects),
		"alarms": len(s.retries), "events": len(s.pending), "granted": len(s.granted),
		"deserted": len(s.deserted), "parked": len(s.parked), "unseen": len(s.maintenance.unseen),
		"board": s.presence.used,
	}
}

// Idle lets a session have n heartbeats, each when there is something to do again.
func Idle(b backend.Session, n int) {
	s := b.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.now = s.maintenance.last.Add(tendEvery)
		s.tend()
	}
}

// Sweep makes a session clear up what it does not need any more, and the directory,
// as it would after an hour.
func Sweep(b backend.Session) {
	s := b.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &s.maintenance
	last := u.last
	s.now = last
	for _, step := range []time.Duration{tendEvery, sweepEvery} { // what was begun, and all
		for s.now = s.now.Add(step); ; s.now = s.now.Add(tendEvery) {
			s.tend()
			if len(u.janitor.todo) == 0 && u.janitor.open == nil {
				break
			}
		}
	}
	// The time goes on where it was.
	u.last, u.janitor.next = last, last.Add(sweepEvery)
}
