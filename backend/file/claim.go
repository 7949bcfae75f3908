package file

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
	"github.com/dlock-go/dlock/backend/file/internal/notify"
)

// A claim is one owner's acquisition, from its first Acquire to its Release: it
// is held, or it waits with a ticket.
type claim struct {
	owner uint64
	lock  *lock
	index int // in lock.claims
	mode  backend.Mode
	limit uint32

	hold  hold // while held
	grant backend.Grant
	held  bool
	lost  bool // held, but its file was replaced

	ticket  *ticket // while it waits
	retry   retry   // while it waits
	invited bool    // while it waits: it was rung, and has not tried since
	ended   bool    // it was released

	since time.Time // when it was granted the lock or began to wait
	slot  int       // on the session's presence file, or 0
}

// acquire answers an Acquire.
func (s *session) acquire(op *backend.Op) backend.Result {
	c := s.claims[op.Owner]
	if c == nil {
		if err := op.Check(); err != nil {
			return failed(err)
		}
		c = &claim{owner: op.Owner, mode: op.Mode, limit: op.Limit, lock: s.lockOf(op.Class, op.Name)}
		c.lock.attach(c)
		s.claims[op.Owner] = c
	} else if !c.is(op) {
		return failed(backend.ErrOwner)
	} else if c.lost {
		s.drop(c)
		return failed(lostError(c.hold.file.path))
	}
	state, err := s.advance(c, op.Wait)
	switch state {
	case backend.Granted:
		if c.ticket != nil {
			s.granted = append(s.granted, c)
			s.promote()
		}
		return backend.Result{State: state, Grant: c.grant}
	case backend.Queued:
		return backend.Result{State: state}
	}
	r := backend.Result{State: state}
	if err != nil {
		r = refusal(err)
	}
	if r.State != backend.Refused || c.ticket == nil { // who waits keeps the place
		s.drop(c)
	}
	return r
}

// is reports whether an Acquire is the one that the claim stands for.
func (c *claim) is(op *backend.Op) bool {
	return c.mode == op.Mode && c.limit == op.Limit && c.lock.key == keyOf(op.Class, op.Name)
}

func failed(err error) backend.Result { return backend.Result{State: backend.Failed, Err: err} }

// advance brings a claim as far as it gets now, if need be at the cost of handles
// that wait for a use. With an error there is no state, and the claim is what it was.
func (s *session) advance(c *claim, wait bool) (backend.State, error) {
	if c.held {
		return backend.Granted, nil
	}
	state, err := s.proceed(c, wait)
	if err != nil && flock.Exhausted(err) && s.rest() {
		state, err = s.proceed(c, wait)
	}
	return state, err
}

func (s *session) proceed(c *claim, wait bool) (backend.State, error) {
	for range patience {
		taken, err := s.attempt(c)
		switch {
		case err == errGone:
			// Somebody has cleared the queue away. Its place was behind nobody who
			// still has one.
			s.leave(c)
		case err != nil:
			return 0, err
		case taken:
			return backend.Granted, nil
		case !wait:
			return backend.Busy, nil
		case c.ticket != nil:
			return backend.Queued, nil
		}
		if err := s.enqueue(c); err != nil {
			return 0, err
		}
		// With a place in the queue it is tried once more: whoever gave the lock
		// back before there was a ticket has rung nobody.
	}
	return 0, fmt.Errorf("queue %s: %w", c.lock.queue.dir, errRestless)
}

// attempt takes the lock if it is the claim's turn and the lock is free.
func (s *session) attempt(c *claim) (bool, error) {
	l := c.lock
	if l.key.class == backend.Semaphore {
		if ok, err := l.joinPool(c.limit); !ok || err != nil {
			return false, err
		}
	}
	if ok, err := s.admitted(c); !ok || err != nil {
		return false, err
	}
	var ok bool
	var err error
	if l.key.class == backend.Semaphore {
		c.hold, ok, err = l.pool.take(l)
	} else {
		c.hold, ok, err = l.file.try(c.mode)
	}
	if !ok || err != nil {
		return false, err
	}
	// The ordinal is drawn under the lock: so it is greater than those of all who
	// held it before.
	ordinal, err := s.clock.next(s.now)
	if err != nil {
		c.hold.abandon()
		return false, err
	}
	// A process that was stopped since it looked at the file knows nothing of it.
	if time.Since(s.now) >= lookedAt && !c.stands() {
		c.hold.abandon()
		return s.attempt(c)
	}
	c.held, c.grant, c.since = true, backend.Grant{Ordinal: ordinal}, s.now
	s.presence.show(c)
	return true, nil
}

// lookedAt is how long a look at a file counts before its lock is granted. It is more
// than a grant takes.
const lookedAt = 5 * time.Millisecond

// admitted reports whether the queue lets the claim try the lock.
func (s *session) admitted(c *claim) (bool, error) {
	l := c.lock
	if c.invited { // by one who has just looked who is next
		c.invited = false
		return true, nil
	}
	if c.ticket != nil {
		ok, err := l.queue.admits(c.ticket.number, c.mode)
		s.expect(c, ok)
		return ok, err
	}
	if crowd, err := l.queue.exists(); !crowd || err != nil {
		return err == nil, err
	}
	return l.queue.admits(newcomer, c.mode)
}

// promote takes the claims that were granted their locks out of the queues.
func (s *session) promote() {
	for _, c := range s.granted {
		l := c.lock
		s.park(l, s.withdraw(c))
		switch {
		case l.key.class == backend.Semaphore:
			// Several tickets that were given back may have rung this claim alone.
			l.ring()
		case l.key.class == backend.Mutex:
			if others, _ := l.queue.others(l.parked); len(others) > 0 {
				l.next = others[0]
			}
		case c.mode == backend.Exclusive:
			l.queue.pass(s.clock, s.now)
		}
	}
	clear(s.granted)
	s.granted = s.granted[:0]
}

// enqueue gives a claim a place at the end of the queue.
func (s *session) enqueue(c *claim) error {
	t, err := s.newPlace(c.lock, c.mode)
	if err != nil {
		return err
	}
	// The watch is a new one, also of a ticket that has served before: what is
	// still to be heard of that time is not about this claim.
	t.watch, t.heard = s.attend(t.path, notify.Writers, subject{claim: c})
	s.listen(c.lock)
	c.ticket, c.since = t, s.now
	s.presence.show(c)
	s.schedule(c)
	return nil
}

// withdraw parts a claim from its ticket, and nobody listens for it any more.
func (s *session) withdraw(c *claim) *ticket {
	t := c.ticket
	if t.heard {
		s.ignore(t.watch)
	}
	c.ticket, c.invited = nil, false
	s.retries.cancel(&c.retry)
	return t
}

// leave gives a claim's place in the queue up.
func (s *session) leave(c *claim) { s.withdraw(c).remove() }

// release answers a Release. It looks whether the hold stands before it gives the
// lock back: after that whoever holds it next may do to the file what they like.
func (s *session) release(owner uint64) backend.Result {
	c := s.claims[owner]
	if c == nil {
		return backend.Result{State: backend.Released}
	}
	c.ended = true
	s.presence.show(c) // which takes its time, and the look is to be the last thing before
	if !c.held || c.stands() {
		s.drop(c)
		return backend.Result{State: backend.Released}
	}
	c.lost = true
	s.drop(c)
	s.verify(c.lock) // for the others that have found out nothing
	return backend.Result{State: backend.NotHeld}
}

// stands reports whether a claim that was granted its lock still holds it.
func (c *claim) stands() bool {
	l := c.lock
	return !c.lost && c.hold.stands() && (l.key.class != backend.Semaphore || l.pool.base.stands())
}

// drop ends a claim and wakes those whom it kept waiting.
func (s *session) drop(c *claim) {
	l := c.lock
	delete(s.claims, c.owner)
	l.detach(c)
	c.ended = true
	s.presence.show(c) // before the lock is free, lest two seem to hold it
	rouse := true
	switch {
	case c.ticket != nil:
		s.leave(c)
	case c.held && c.lost:
		c.hold.abandon()
	case c.held:
		c.hold.release()
	default:
		rouse = false
	}
	if len(l.claims) == 0 {
		l.leavePool()
		s.retire(l)
	}
	if rouse {
		s.rouse(l)
	}
}

// rouse wakes those who may try the lock, now that it may be free. The next is rung
// before it is looked who waits, which takes longer; in a queue without readers it is
// still the first, if it is still there.
func (s *session) rouse(l *lock) {
	next := l.next
	l.next = place{}
	if next.path != "" && ring(next) == rung {
		if others, err := l.queue.others(l.parked); err == nil && len(others) > 0 && others[0] == next {
			return
		}
	}
	// Mostly there is no queue, and to see that takes less than to try to open it.
	if crowd, err := l.queue.exists(); err == nil && !crowd {
		return
	}
	if l.ring() == absent {
		// To remove the queue now would make the next who waits create it anew, which
		// on a disk costs more than all the rest: heartbeats do it.
		s.deserted[l.queue] = s.now
	}
}

// ring rings those in the queue who may try the lock. Of one who has waited and cannot
// be rung it is told by the lock file.
func (l *lock) ring() liveness {
	p := l.queue.ring(l.parked)
	if p == unheard {
		l.file.call()
	}
	return p
}

// lose tells that a hold is no longer one.
func (s *session) lose(c *claim) {
	c.lost = true
	s.presence.show(c)
	s.pending = append(s.pending, backend.Event{
		Kind: backend.EventLost, Owner: c.owner, Err: lostError(c.hold.file.path),
	})
	s.hurry()
}

// verify finds out which holds of a lock are lost.
func (s *session) verify(l *lock) {
	lost := l.pool.joined && !l.pool.base.stands()
	for _, c := range l.claims {
		if c.held && !c.lost && (lost || !c.hold.stands()) {
			s.lose(c)
		}
	}
}
