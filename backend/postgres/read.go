package postgres

import (
	"errors"
	"os"
	"time"
)

// This file says who reads the answers to the holder session. A read is to be
// pending all the time, so that a server that goes is noticed when it goes; but an
// answer that Apply reads itself is there sooner than one that another goroutine
// has to hand to it. So readHolder reads while the session is at rest, and steps
// aside for a moment after each answer. Whoever reads has s.holder.reading set.

const (
	// aside is for how long after a question readHolder leaves the reading to
	// Apply. Within it the end of a connection may go unnoticed.
	aside = 5 * time.Millisecond
	// inline is how long Apply reads itself, and hears of nothing else.
	inline = 2 * time.Millisecond
)

// readHolder reads what Apply does not, until the connection ends.
func (s *session) readHolder() {
	again := time.NewTimer(aside)
	defer again.Stop()
	for {
		s.mu.Lock()
		mine := !s.holder.reading && (s.err != nil || s.holder.conn.Busy && !s.holder.attentive || time.Since(s.holder.conn.Sent) >= aside)
		if !mine {
			s.mu.Unlock()
			again.Reset(aside)
			select {
			case <-s.watch:
			case <-again.C:
			}
			continue
		}
		s.holder.reading = true
		s.mu.Unlock()
		r, err := s.holder.conn.Next()
		s.mu.Lock()
		s.holder.reading = false
		if err != nil {
			s.die(err)
			s.finish()
			s.mu.Unlock()
			return
		}
		s.holderAnswered(r)
		s.mu.Unlock()
	}
}

// readInline reads an answer for Apply. It is false when none has come at once.
func (s *session) readInline() bool {
	s.holder.reading = true
	w := s.holder.conn
	s.mu.Unlock()
	_ = w.Conn.SetReadDeadline(time.Now().Add(inline))
	r, err := w.Next()
	_ = w.Conn.SetReadDeadline(time.Time{})
	s.mu.Lock()
	s.holder.reading = false
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case err != nil:
		s.die(err)
	default:
		s.holderAnswered(r)
	}
	return true
}

// attend has readHolder leave the reading to Apply, or see to it again.
func (s *session) attend(attentive bool) {
	s.holder.attentive = attentive
	if !attentive && s.holder.conn.Busy {
		poke(s.watch)
	}
}
