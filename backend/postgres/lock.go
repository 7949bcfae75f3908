package postgres

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A lock is what a session knows of one lock: who of its own holds it and who
// waits for it. That is the authority on what the session's connections hold; the
// server would grant a connection again what it has already. It exists while
// there is something to know.
type lock struct {
	id    lockID
	limit uint32
	key   Key
	gate  int64  // the key of its gate
	slots *slots // of a semaphore, else nil

	jobs      int                       // that Apply works on
	users     int                       // claims that ask, wait or hold
	holders   int                       // claims that hold
	shared    bool                      // they share
	own       *grip                     // what the holder session has of a mutex or reader-writer lock
	waits     [backend.Shared + 1]*wait // by mode
	deciding  int                       // tries without an answer
	unlocking int                       // unlocks without an answer
	leftovers int                       // connections that are gone and may wait for it
	pass      uint64                    // the last one of Apply in which a job on it had to wait
	slow      uint64                    // the last one in which that was for the end of a wait
	round     uint64                    // the last one with a try of it
}

type lockID struct {
	class backend.Class
	name  string
}

// A keyID tells locks apart by what they lock at the server. A semaphore never
// locks its key itself.
type keyID struct {
	key       Key
	semaphore bool
}

func (l *lock) keyID() keyID { return keyID{l.key, l.slots != nil} }

// A claim is what one owner has of one lock.
type claim struct {
	owner uint64
	lock  *lock
	mode  backend.Mode
	wait  bool
	state claimState
	left  bool  // it is to be released as soon as its try has an answer
	stood bool  // it was released while it waited
	told  bool  // its owner was told that it waits
	err   error // of one that is refused, or nil: busy; of one that is held, why its release is refused

	// Of one that holds, or did.
	ordinal uint64
	grip    *grip
	missing bool // it had lost it when its release came to the server
}

// granted reports whether the claim was granted and not released since.
func (c *claim) granted() bool { return c.state == held || c.state == lost }

type claimState uint8

const (
	asking  claimState = iota + 1 // a try is on its way
	queued                        // it stands in a wait
	held                          //
	lost                          // it did hold
	refused                       // it does not and will not hold
	leaving                       // its release is on its way
)

// A grip is a lock at the server, with the claims that depend on it.
type grip struct {
	waiter *waitConn // whose connection has it; nil is the holder session
	lock   *lock
	slot   int64 // of a semaphore
	shared bool
	claims int
}

// A wait is the place of a session in the queue for one mode of one lock. All
// claims of the session that wait for it stand behind it; one that gets in leaves
// the next to queue anew.
type wait struct {
	lock   *lock
	mode   backend.Mode
	claims []*claim  // in the order of their arrival
	waiter *waitConn // nil: there is none free, and the holder session tries now and then
	place  place
	way    way
	cover  int           // of these readers come in with the next grant; the others came after it queued
	passed int           // writers that went before these readers, at most
	nap    time.Duration // between two looks for a slot
	due    time.Time     // the next
	pause  time.Time     // until then it does without a wait session: the server had no room for it
}

// A place is how far a wait has come.
type place uint8

const (
	coming   place = iota // it may not stand in the queue yet
	standing              // it is known to stand in the queue, or to stand in none
	trying                // besides, a try on its behalf is on its way
)

// stand notes that a wait stands in the queue.
func (w *wait) stand() { w.place = max(w.place, standing) }

// A way is what a wait session does to get the lock for a wait.
type way uint8

const (
	givesUp   way = iota // with the gate in its hands it gives the lock up, and the holder session takes it
	keepsOnce            // it keeps the lock, since there are enough others
	keeps                // it has to keep the lock: somebody takes it without the gate
	direct               // somebody did so lately: it stands in the lock's own queue with them, without the gate, and writers do not go first
)

// find returns the lock of op, or an error when it cannot be told from another
// one.
func (s *session) find(op *backend.Op) (*lock, error) {
	id := lockID{op.Class, op.Name}
	if l := s.locks[id]; l != nil {
		return l, nil
	}
	l := &lock{id: id, limit: op.Limit, key: s.store.config.keys(op.Class, op.Name)}
	l.gate = l.key.derive("gate")
	if op.Class == backend.Semaphore {
		l.slots = newSlots(l.key, l.limit)
	}
	if other := s.keys[l.keyID()]; other != nil {
		return nil, fmt.Errorf("%w: it has the key %v of another lock that is in use, the %v %.80q", backend.ErrName, l.key, other.id.class, other.id.name)
	}
	s.locks[id], s.keys[l.keyID()] = l, l
	return l, nil
}

// forget drops a lock of which nothing is left to know.
func (s *session) forget(l *lock) {
	if l.jobs+l.users+l.deciding+l.unlocking+l.leftovers == 0 && l.waits == [len(l.waits)]*wait{} {
		delete(s.locks, l.id)
		delete(s.keys, l.keyID())
	}
}

// closed reports whether a claim that comes now has to wait, by what the session
// knows itself.
func (l *lock) closed(mode backend.Mode) bool {
	switch {
	case l.waits != [len(l.waits)]*wait{}:
		return true // Who waits goes first.
	case l.slots != nil:
		return l.holders >= int(min(l.limit, 1<<31-1))
	}
	return l.holders > 0 && !(l.shared && mode == backend.Shared)
}

// ending reports whether a place in the queue is being given up: until that has
// happened it is in the way of others.
func (l *lock) ending() bool {
	for _, w := range l.waits {
		if w != nil && len(w.claims) == 0 {
			return true
		}
	}
	return false
}
