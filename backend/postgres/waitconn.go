package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// A waitConn is a wait session: a connection that may block, and so can serve one
// wait at a time. It stands in the queue of the gate, and with the gate it waits
// for the lock. As long as there are enough other wait sessions it keeps a mutex and
// holds it, which is the fastest way. Else it gives the lock up, and the holder
// session takes it, while the gate keeps all others out. Against those who do not
// know the gate that fails; then the wait session has to keep the lock the next time,
// and for a while others stand in the lock's own queue, where they stand, so
// that all have the same chance.
type waitConn struct {
	wire   *pgwire.Conn // nil while it is being connected
	wait   *wait        // whom it serves, or nil
	step   step
	script []order // on its way
	next   []order // to be sent when a ping has come back, or nil
	pinged bool    // what is on its way is a ping, or a keeper's way down
	began  time.Time
	used   time.Time
	cut    cut  // its statement is being cancelled
	rotate bool // so that others have their turn
	missed int  // looks in a row that did not find it waiting at the server

	until  time.Time // the server does not end the session before; zero: nothing is known
	number int64     // of the token that it has made for its wait

	// As a keeper.
	owes  *wait // that it has served, and of which it has the gate still
	grip  *grip
	lease uint32    // whose end is until; several grips have it in turn, as long as it has not lapsed
	told  time.Time // the end of the lease, as Apply and Recv told it
}

type step uint8

const (
	connecting step = iota + 1
	idle
	acquiring // it waits for the gate, and for the lock
	counting  // it has both, and the holder session looks how many writers wait
	landing   // it has the gate, and the holder session tries the lock
	releasing // it gives the gate back
	keeping   // it has gate and lock, and keeps the lock
	keeper    // it holds
	clearing  // it frees all that it may have
	dead
)

// run sends a script, or keeps it until the ping that is on its way is back. A request to
// cancel that is on its way could hit what waits for a place, and cost it that.
func (s *session) run(wt *waitConn, st step, script []order) {
	wt.step = st
	if wt.wire.Busy || wt.cut.running && script[0].takes() {
		wt.next = script
		return
	}
	wt.script, wt.next, wt.missed = script, nil, 0
	wt.cut.again()
	now := time.Now()
	wt.began, wt.used = now, now
	for _, o := range script {
		o.exec(wt.wire, wt.wait, s.marker)
	}
	s.dispatch(wt, now)
}

// dispatch sends what was prepared.
func (s *session) dispatch(wt *waitConn, now time.Time) {
	if wt.wire.Flush(now) != nil {
		_ = wt.wire.Conn.Close() // Its reader does the rest.
	}
}

// connect opens the connection of a wait session and reads it until it ends.
func (s *session) connect(wt *waitConn) {
	w, err := s.open()
	s.mu.Lock()
	if err == nil && s.err != nil {
		_ = w.Conn.Close()
	} else if err == nil {
		wt.wire = w
		if wt.wait != nil {
			s.serve(wt, wt.wait)
		} else {
			s.free(wt)
		}
		s.pump()
		poke(s.moved) // Apply may have to read what comes of it.
		s.mu.Unlock()
		err = w.Read(func(r *pgwire.Reply) { s.waiterAnswered(wt, r) })
		close(w.Over)
		s.mu.Lock()
	} else {
		s.waits.barred = time.Now().Add(barredFor)
	}
	defer s.mu.Unlock()
	s.gone(wt, err)
	s.pump()
	poke(s.moved)
	s.finish()
}

// barredFor is for how long no connection is opened after one that failed.
const barredFor = time.Second

// open opens the connection of a wait session. One that does not come is given up
// before long: whom it was for can be served otherwise. Where the first connection
// took its time, so may this one.
func (s *session) open() (*pgwire.Conn, error) {
	ctx, cancel := context.WithTimeout(s.life, s.opens)
	defer cancel()
	c, server, err := s.store.dial(ctx)
	if err != nil {
		return nil, err
	}
	var elsewhere []string
	err = setUp(ctx, c, append(furnishing(waiting, s.ttl, s.who), s.marker.look(&elsewhere)))
	if err == nil && !slices.Equal(elsewhere, []string{"f"}) {
		err = errElsewhere
	}
	if err != nil {
		giveBack(c, server)
		return nil, err
	}
	return s.store.wire(c, server, waiting, s.ttl, s.who)
}

// gone takes the end of a wait session. What it held is lost, and whom it served
// queues anew.
func (s *session) gone(wt *waitConn, err error) {
	if wt.wire != nil {
		_ = wt.wire.Conn.Close()
	}
	wt.step = dead
	s.waits.all = slices.DeleteFunc(s.waits.all, func(other *waitConn) bool { return other == wt })
	if s.err != nil {
		return
	}
	if g := wt.grip; g != nil {
		s.loseAll(g, fmt.Errorf("%w: %w", errGone, err), wt.next != nil || wt.wire.Mute || ended(err) && len(wt.wire.Reply.Sets) == 0)
	}
	s.leave(wt)
	w := wt.wait
	if w == nil {
		return
	}
	w.waiter, wt.wait = nil, nil
	switch {
	case w.place == trying:
		// The holder session may just be getting the lock; landed sees to the rest.
	case len(w.claims) > 0:
		s.assign(w)
	default:
		s.dissolve(w)
	}
}

// loseAll ends the holds of a grip that was lost. late tells that a release that was on
// its way came too late.
func (s *session) loseAll(g *grip, why error, late bool) {
	for _, c := range s.claims {
		if c.grip == g && c.state == leaving {
			c.missing = c.missing || late
		}
		if c.grip == g && c.state == held {
			c.state = lost
			c.lock.holders--
			s.mail.Send(backend.Event{Kind: backend.EventLost, Owner: c.owner, Err: why})
			s.part(c)
		}
	}
	if g.claims == 0 {
		g.lock.unlocking-- // It was on its way.
	}
	s.settle(g.lock)
}

// dissolve ends a wait that nobody stands in any more.
func (s *session) dissolve(w *wait) {
	w.lock.waits[w.mode] = nil
	s.settle(w.lock)
}

// disband has a wait end that nobody stands in any more.
func (s *session) disband(w *wait) {
	wt := w.waiter
	if wt == nil {
		s.waits.unmet = slices.DeleteFunc(s.waits.unmet, func(other *wait) bool { return other == w })
		if w.place != trying {
			s.dissolve(w)
		}
		return
	}
	switch wt.step {
	case connecting:
		wt.wait = nil
		s.dissolve(w)
	case acquiring:
		if wt.next != nil {
			s.clear(wt)
			break
		}
		s.cancel(wt)
	case landing:
		if w.place != trying { // The head of a semaphore, between two tries.
			s.standDown(wt)
		}
	}
	// Elsewhere it finds out by itself.
}

// clear has a wait session free all that it may have.
func (s *session) clear(wt *waitConn) {
	wt.owes = nil
	s.run(wt, clearing, []order{freeAll})
}

// comeDown has a keeper give back what stands beside the lock.
func (s *session) comeDown(wt *waitConn) {
	w := wt.owes
	if s.err != nil || w == nil || wt.wire.Busy {
		return // After the ping that is on its way.
	}
	wt.owes = nil
	wt.pinged = true
	for _, o := range releaseScript(w) {
		o.exec(wt.wire, w, s.marker)
	}
	s.dispatch(wt, time.Now())
}

// standDown has a wait session give the gate back. If others wait behind the one that it
// has served, it goes to the end of the queue at the gate at once, and a flag stays up:
// a writer waits all the time.
func (s *session) standDown(wt *waitConn) {
	w := wt.wait
	switch {
	case w.mode == backend.Shared:
		s.run(wt, releasing, []order{giveLock, giveGate})
	case len(w.claims) == 0 || w.way >= keeps || w.lock.slots != nil || time.Now().Before(w.pause):
		s.run(wt, releasing, releaseScript(w))
	default:
		w.cover = len(w.claims)
		s.run(wt, acquiring, append([]order{giveGate, takeGate}, lockScript(w)...))
	}
}

// raising reports whether a wait session is at the flag. A reader who looks whether it is
// up keeps it for a moment, so it may have to wait there, and stands in no queue yet.
func (wt *waitConn) raising() bool {
	script := wt.script
	if wt.next != nil {
		script = wt.next
	}
	return len(script) == 1 && script[0] == raiseFlag
}

// unwanted reports whether what a wait session is waiting for is to end.
func (wt *waitConn) unwanted() bool {
	// It may have ended since, and then has no wait.
	return wt.step == acquiring && wt.wait != nil && wt.wire.Busy && wt.next == nil && (wt.rotate || len(wt.wait.claims) == 0)
}
