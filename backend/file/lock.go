package file

import (
	"path/filepath"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// A lock is what a session knows of one lock that its owners hold or await, or
// did not long ago.
type lock struct {
	key    key
	queue  queue
	file   *lockfile // that Path names
	claims []*claim  // of this session
	kept   bool      // it is among the session's recent locks
	parked *ticket   // for the next of them that waits, or nil
	next   place     // of a mutex: the first in the queue when the lock was granted, or none

	pool pool // of a semaphore
}

// keep is how many locks a session keeps open that it does not need just now.
const keep = 256

// lockOf returns the session's record of a lock.
func (s *session) lockOf(class backend.Class, name string) *lock {
	k := keyOf(class, name)
	l := s.locks[k]
	if l == nil {
		base := fileName(k, name)
		l = &lock{
			key:   k,
			queue: queue{filepath.Join(s.dir, internalDir, base+queueSuffix)},
		}
		l.file = &lockfile{s: s, lock: l, path: filepath.Join(s.dir, base), spare: flock.None}
		s.locks[k] = l
	}
	return l
}

// attach and detach tell the lock who uses it.
func (l *lock) attach(c *claim) {
	c.index = len(l.claims)
	l.claims = append(l.claims, c)
}

func (l *lock) detach(c *claim) {
	last := len(l.claims) - 1
	moved := l.claims[last]
	l.claims[c.index], moved.index = moved, c.index
	l.claims[last] = nil
	l.claims = l.claims[:last]
}

// retire keeps an unused lock for the next time, in place of the one that was
// kept for longest.
func (s *session) retire(l *lock) {
	if l.kept {
		return
	}
	l.kept = true
	slot := &s.recent[s.oldest]
	s.oldest = (s.oldest + 1) % keep
	if out := *slot; out != nil {
		out.kept = false
		if len(out.claims) == 0 {
			s.unpark(out)
			out.forget()
			delete(s.locks, out.key)
		}
	}
	*slot = l
}

// watchHolds has the files watched that the lock's holders have locked.
func (l *lock) watchHolds() {
	if l.file.holds > 0 {
		l.file.attend()
	}
	for _, f := range l.pool.slots {
		if f.holds > 0 {
			f.attend()
		}
	}
}

// forget closes what the lock has open.
func (l *lock) forget() {
	l.file.forget()
	for _, f := range l.pool.slots {
		f.forget()
	}
}

// rest closes the spare handles of the session and reports whether there were any.
func (s *session) rest() bool {
	rested := false
	for _, l := range s.locks {
		rested = l.file.rest() || rested
		for _, f := range l.pool.slots {
			rested = f.rest() || rested
		}
	}
	return rested
}
