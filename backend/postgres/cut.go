package postgres

import (
	"context"
	"time"
)

// A cut is what is under way to end the statement of a wait session. The request
// comes to the server on a way of its own: it may be late and hit a later statement, so
// that every statement has to put up with it, and none that takes a place is sent as long
// as it is on its way. It may also come before the statement has begun, and then has to be
// sent again.
type cut struct {
	running bool      // a request is being sent
	since   time.Time // when the first was sent for this statement, or zero
	times   int       // so many since
	due     time.Time // the next
}

const (
	cancelEvery = time.Millisecond       // a cancellation that had no effect is repeated, after twice as long each time
	cancelMost  = 250 * time.Millisecond // at the most
	cancelFor   = 2 * time.Second        // then the connection is closed
)

// again begins anew, for another statement.
func (c *cut) again() { c.since, c.times, c.due = time.Time{}, 0, time.Time{} }

// cancel has the server end the statement of a wait session. If it does not, the
// connection is closed.
func (s *session) cancel(wt *waitConn) {
	now := time.Now()
	c := &wt.cut
	switch {
	case c.running:
		return
	case now.Before(c.due):
		s.rearm(c.due.Sub(now))
		return
	case c.since.IsZero():
		c.since = now
	case now.Sub(c.since) > cancelFor && wt.unwanted():
		_ = wt.wire.Conn.Close() // Its reader does the rest.
		return
	}
	c.running = true
	s.running++
	go s.request(wt)
}

// request sends the request to cancel what a wait session is at.
func (s *session) request(wt *waitConn) {
	ctx, end := context.WithTimeout(s.reach, s.opens)
	_ = wt.wire.Cancel(ctx) // That nothing has come of it shows.
	end()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &wt.cut
	pause := min(cancelEvery<<min(c.times, 10), cancelMost)
	c.running, c.due = false, time.Now().Add(pause)
	c.times++
	switch {
	case s.err != nil || wt.step == dead:
	case wt.unwanted():
		s.rearm(pause)
	case wt.next != nil && !wt.wire.Busy:
		s.run(wt, wt.step, wt.next)
		s.confirm()
		s.pump()
		poke(s.moved) // Apply may have to read what comes of it.
	}
	s.finish()
}

// expel has the server end a wait session that waits for a lock, behind which the end of
// the connection has been sent: the server comes to that when the wait is over.
func (s *session) expel(wt *waitConn) {
	limit, stop := context.WithTimeout(s.reach, cancelFor)
	defer stop()
	stuck := true
	for pause := cancelEvery; stuck && limit.Err() == nil; pause = min(2*pause, cancelMost) {
		_ = wt.wire.Cancel(limit)
		select {
		case <-wt.wire.Over:
			stuck = false
		case <-limit.Done():
		case <-time.After(pause):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stuck {
		s.waits.stuck = true
		_ = wt.wire.Conn.Close() // Its reader does the rest.
	}
	s.finish()
}
