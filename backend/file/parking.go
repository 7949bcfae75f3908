package file

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// parkedFor is how long a ticket is kept after its use.
const parkedFor = time.Second

// park keeps the ticket of a claim that was served, for the next claim on the lock
// that has to wait. One is enough for each lock.
func (s *session) park(l *lock, t *ticket) {
	if l.parked != nil || t.park() != nil {
		t.remove()
		return
	}
	l.parked = t
	s.parked[l] = s.now
}

// unpark removes the lock's parked ticket.
func (s *session) unpark(l *lock) {
	if l.parked != nil {
		l.parked.remove()
		l.parked = nil
		s.deserted[l.queue] = s.now
	}
	delete(s.parked, l)
}

// newPlace returns a ticket at the end of the lock's queue: the parked one if it is
// still there.
func (s *session) newPlace(l *lock, mode backend.Mode) (*ticket, error) {
	if t := l.parked; t != nil {
		l.parked = nil
		delete(s.parked, l)
		if number, err := s.clock.next(s.now); err == nil && t.reuse(number, mode) == nil {
			return t, nil
		}
		t.remove()
	}
	return l.queue.join(s.clock, s.now, mode)
}
