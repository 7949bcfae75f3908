package postgres

import (
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// waiterAnswered takes the answer to a wait session.
func (s *session) waiterAnswered(wt *waitConn, r *pgwire.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heed(wt, r)
	if wt.owes != nil {
		s.mu.Unlock()
		runtime.Gosched() // Whoever holds goes first.
		s.mu.Lock()
		s.comeDown(wt)
	}
}

// heed draws the conclusions from an answer.
func (s *session) heed(wt *waitConn, r *pgwire.Reply) {
	if s.err != nil {
		return
	}
	wt.wire.Answered(r)
	if wt.step == keeper && time.Now().After(wt.until) {
		_ = wt.wire.Conn.Close() // Too late: its holders may have been told.
		return
	}
	s.prolong(wt, wt.wire.Sent)
	if wt.pinged {
		wt.pinged = false
		if next := wt.next; next != nil {
			s.run(wt, wt.step, next)
		}
	} else {
		s.answered(wt, r)
	}
	s.pump()
	poke(s.moved)
}

// prolong notes that the server had not ended a wait session, nor begun to count its
// idle time, at a time: it was asked something then and has answered, or was found at
// work by the answer to a question of then.
func (s *session) prolong(wt *waitConn, alive time.Time) {
	if until := alive.Add(s.ttl - s.ttl/100); until.After(wt.until) {
		wt.until = until
	}
}

// answered takes the answer to a script.
func (s *session) answered(wt *waitConn, r *pgwire.Reply) {
	w := wt.wait
	failed := r.Err != nil
	if !failed && !answers(wt.script, r) {
		s.waits.barred = time.Now().Add(barredFor)
		_ = wt.wire.Conn.Close() // Its reader does the rest.
		return
	}
	var last int64
	if n := len(r.Sets); !failed && n > 0 && len(r.Sets[n-1].Rows) > 0 {
		last = r.Sets[n-1].Rows[0]
	}
	if i := slices.Index(wt.script, makeToken); !failed && i >= 0 {
		wt.number = r.Sets[i].Rows[0]
	}
	if i := slices.Index(wt.script, prove); !failed && i >= 0 && r.Sets[i].Rows[0] != 0 {
		// Another server has given the lock, or the session has ended on this one.
		s.waits.barred = time.Now().Add(barredFor)
		_ = wt.wire.Conn.Close() // Its reader does the rest.
		return
	}
	switch wt.step {
	case acquiring:
		switch {
		case failed:
			s.interrupted(wt, len(r.Sets)-1, r.Err)
		case len(w.claims) == 0:
			s.clear(wt)
		case wt.raising():
			s.run(wt, acquiring, acquireScript(w))
			if w.place == coming {
				s.confirm()
			}
		case w.mode == backend.Shared && last == 0:
			s.count(wt)
		default:
			s.arrived(wt)
		}
	case keeping:
		switch {
		case failed || len(w.claims) == 0:
			s.clear(wt)
		default:
			s.keep(wt)
		}
	case releasing, clearing:
		switch {
		case failed && wt.step == clearing && !cutShort(r.Err):
			_ = wt.wire.Conn.Close() // That frees all, too. Its reader does the rest.
		case failed:
			s.clear(wt)
		default:
			s.left(wt)
		}
	}
}

// answers reports whether a reply can be the answer to a script.
func answers(script []order, r *pgwire.Reply) bool {
	if len(r.Sets) != len(script) {
		return false
	}
	for i, o := range script {
		rows := r.Sets[i].Rows
		switch o {
		case prove, lookFlag:
			if len(rows) != 1 {
				return false
			}
		case makeToken:
			if len(rows) != 1 || !isOrdinal(rows[0]) {
				return false
			}
		}
	}
	return true
}

// left goes on when a wait session has nothing any more.
func (s *session) left(wt *waitConn) {
	if g := wt.grip; g != nil {
		wt.grip = nil
		g.lock.unlocking--
		s.settle(g.lock)
	}
	w := wt.wait
	switch {
	case w == nil:
		s.free(wt)
	case len(w.claims) == 0:
		w.waiter = nil
		s.dissolve(w)
		s.free(wt)
	case time.Now().Before(w.pause) || wt.step == clearing && len(s.waits.unmet) > 0:
		// Others have their turn with the wait session.
		w.waiter = nil
		wt.step, wt.wait = clearing, nil
		s.free(wt)
		s.assign(w)
	default:
		s.serve(wt, w)
	}
}

// arrived goes on when a wait session has the gate and has had the lock.
func (s *session) arrived(wt *waitConn) {
	w := wt.wait
	w.stand()
	switch {
	case w.way == givesUp:
		wt.step = landing
		s.land(w)
	case w.mode == backend.Shared:
		s.run(wt, keeping, []order{prove, makeToken})
	case time.Until(wt.until) > s.ttl-s.ttl/100-min(fresh, s.ttl/2):
		s.keep(wt)
	default:
		// How long ago the lock was granted nobody knows. The server may be about to
		// count the session as dead, or may have been restarted since.
		s.run(wt, keeping, []order{prove})
	}
}

// fresh is how long a grant may have been on its way without being doubted: less than
// a server takes to start anew.
const fresh = 50 * time.Millisecond

// land has the holder session try the lock behind the gate.
func (s *session) land(w *wait) {
	w.place = trying
	w.lock.deciding++
	s.holder.pending = append(s.holder.pending, request{kind: land, lock: w.lock, wait: w})
}

// landed takes what came of it.
func (s *session) landed(w *wait, g *grip, number int64, err error) {
	wt := w.waiter
	alone := len(w.claims) == 0
	switch {
	case alone:
		if g != nil {
			s.unhand(g, nil)
		}
	case g != nil:
		s.admit(w, g, number)
	case err != nil:
		s.drop(w, err)
	case wt == nil:
	case w.lock.slots != nil:
		w.nap = min(max(2*w.nap, slotFirst), slotEvery)
		w.due = time.Now().Add(w.nap)
		s.rearm(w.nap)
		return
	default:
		w.way = keeps
		s.waits.foreign[w.lock.keyID()] = time.Now()
		if w.mode == backend.Shared {
			s.arrived(wt) // It has the lock still.
		} else {
			s.run(wt, acquiring, lockScript(w))
		}
		return
	}
	switch {
	case wt != nil:
		s.standDown(wt)
	case len(w.claims) > 0:
		s.assign(w)
	default:
		s.dissolve(w)
	}
}

// keep makes a wait session the holder of the lock that it has.
func (s *session) keep(wt *waitConn) {
	w := wt.wait
	if time.Until(wt.told) < s.ttl/4 {
		s.waits.lease++ // The last one has lapsed, or may have.
		wt.lease = s.waits.lease
	}
	wt.told = wt.until
	if len(releaseScript(w)) > 0 {
		wt.owes = w
	}
	wt.grip = &grip{waiter: wt, lock: w.lock, shared: w.mode == backend.Shared, claims: 1}
	wt.wait, wt.step, w.waiter = nil, keeper, nil
	c := w.claims[0]
	w.claims = append(w.claims[:0], w.claims[1:]...)
	s.grant(c, wt.grip, wt.number)
	if len(w.claims) > 0 {
		s.assign(w)
	} else {
		s.dissolve(w)
	}
}

// count has the holder session look how many writers wait, since some seem to.
func (s *session) count(wt *waitConn) {
	w := wt.wait
	wt.step = counting
	s.holder.extras = append(s.holder.extras, extra{pgsql.Writers, [][]byte{pgwire.AppendInt(nil, pgwire.OIDInt8, w.lock.key.derive("writers"))}, func(rows []int64, _ *pgconn.PgError) {
		if wt.wait != w || wt.step != counting {
			return // It is gone.
		}
		writers := 0
		if len(rows) == 1 {
			writers = int(rows[0])
		}
		switch {
		case len(w.claims) == 0:
			s.clear(wt)
		case writers > 0 && w.passed+writers <= backend.MaxWriters:
			// They stand at the gate, behind this reader. It goes behind them. Who comes
			// before it is there is not counted.
			w.passed += writers
			w.cover = len(w.claims)
			s.run(wt, acquiring, append([]order{giveLock, giveGate}, acquireScript(w)...))
		default:
			s.arrived(wt)
		}
	}})
}

// interrupted takes an error of a wait session that acquires, which has carried out
// the first orders of its script.
func (s *session) interrupted(wt *waitConn, carried int, err *pgconn.PgError) {
	w := wt.wait
	switch err.Code {
	case "57014", "55P03": // query_canceled, lock_not_available
	case "40P01": // deadlock_detected
		// Between two transactions that wait for each other it stands in the way
		// of their finding out: they do when the one behind it is at the lock.
		s.clear(wt)
		return
	default:
		if carried < len(wt.script) && wt.script[carried] == makeToken && len(w.claims) > 0 {
			s.drop(w, err)
			s.clear(wt)
			return
		}
		// It has no room for another lock, say. A try will tell.
		w.pause = time.Now().Add(pauseFor)
		s.clear(wt)
		return
	}
	if lock := slices.Index(wt.script, takeLock); w.way != givesUp && w.mode == backend.Exclusive && lock >= 0 && lock < carried && len(w.claims) > 0 {
		wt.rotate = false
		s.run(wt, acquiring, []order{prove, makeToken}) // It has the lock.
		return
	}
	gate := slices.Index(wt.script, takeGate)
	if wt.rotate || len(w.claims) == 0 || w.lock.slots != nil || w.way == direct || wt.raising() || gate >= carried {
		wt.rotate = false
		s.clear(wt)
		return
	}
	// It may have got the lock all the same. Its place is the gate, which it has.
	s.run(wt, acquiring, append([]order{giveLock}, lockScript(w)...))
}
