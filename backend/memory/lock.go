package memory

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A lock is the state of one name of one class, for as long as somebody holds it
// or waits for it. It decides who is next. The store's mutex guards it.
type lock struct {
	class backend.Class
	name  string
	limit uint32 // how many may hold it exclusively at once

	holders claimList // all of one mode
	writers claimList // those who wait for it exclusively, tickets of a semaphore too
	readers claimList // those who wait to share it
	passed  int       // writers granted in a row while a reader waited
}

// admits reports whether a newcomer gets the lock without waiting.
func (l *lock) admits(mode backend.Mode) bool {
	// Whoever waits goes before a newcomer; but no reader waits that could
	// have got in beside the holders, so readers are not asked for.
	return l.writers.First() == nil && l.fits(mode)
}

// fits reports whether one more holder of mode is compatible with the holders.
func (l *lock) fits(mode backend.Mode) bool {
	holder := l.holders.First()
	switch {
	case holder == nil:
		return true
	case holder.mode != mode:
		return false
	}
	return mode == backend.Shared || uint64(l.holders.Len()) < uint64(l.limit)
}

// next returns the waiting claim that is to be granted now, or nil.
func (l *lock) next() *claim {
	writer, reader := l.writers.First(), l.readers.First()
	if writer != nil && (reader == nil || l.passed < backend.MaxWriters) {
		if l.fits(backend.Exclusive) {
			return writer
		}
		return nil
	}
	// Either no writer waits or it is the readers' turn, which lasts until all
	// that wait now are in.
	if reader != nil && l.fits(backend.Shared) {
		return reader
	}
	return nil
}

// hold makes c, new or waiting, a holder.
func (l *lock) hold(c *claim, ordinal uint64, now time.Time) {
	if l.waits(c) {
		l.remove(c)
	}
	if c.mode == backend.Exclusive && l.readers.First() != nil {
		l.passed++
	}
	c.ordinal, c.since = ordinal, now
	l.holders.Push(c, &c.link)
}

// enqueue makes c wait, and tells the holders of other sessions.
func (l *lock) enqueue(c *claim, now time.Time) {
	c.since = now
	l.queue(c.mode).Push(c, &c.link)
	for h := l.holders.First(); h != nil; h = h.link.Next() {
		if h.session != c.session && !h.told {
			h.told = true
			h.session.mail.Send(backend.Event{Kind: backend.EventContended, Owner: h.owner})
		}
	}
}

// remove takes c out of the holders or out of its queue.
func (l *lock) remove(c *claim) {
	c.link.Remove()
	if !c.held() && l.readers.First() == nil {
		l.passed = 0 // nobody is left who was passed
	}
}

// waits reports whether c stands in its queue.
func (l *lock) waits(c *claim) bool {
	return c.link.List() == l.queue(c.mode)
}

func (l *lock) queue(mode backend.Mode) *claimList {
	if mode == backend.Shared {
		return &l.readers
	}
	return &l.writers
}

// awaitedBesides reports whether a session other than s waits for the lock.
func (l *lock) awaitedBesides(s *session) bool {
	for _, q := range [...]*claimList{&l.writers, &l.readers} {
		for c := q.First(); c != nil; c = c.link.Next() {
			if c.session != s {
				return true
			}
		}
	}
	return false
}

func (l *lock) idle() bool {
	return l.holders.First() == nil && l.writers.First() == nil && l.readers.First() == nil
}
