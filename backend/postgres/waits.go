package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
)

// waits are the wait sessions, and what is known of those who stand in queues at the
// server. The session's mutex guards them.
type waits struct {
	all      []*waitConn
	unmet    []*wait   // without a wait session, in the order in which they will get one
	barred   time.Time // until then no connection is opened, since the last could not be
	lease    uint32    // the last one given to a wait session
	afforded uint64    // how often a wait session could keep what it waits for

	confirming bool          // it is being looked whether they stand in queues, or has just been
	glance     *time.Timer   // when that has been done, for the next look
	pause      time.Duration // before that
	looked     time.Time     // when it was looked whether they are in somebody's way
	stuck      bool          // a wait did not end when the session was closed

	foreign   map[keyID]time.Time // locks that somebody takes without the gate, and when that was last seen
	leftovers []leftover
	seeking   bool      // it is being looked for them
	sought    time.Time // when it may be again
}

// assign gives a wait a wait session, or has it wait for one.
func (s *session) assign(w *wait) {
	if time.Now().After(w.pause) {
		for _, wt := range s.waits.all {
			if wt.step == idle {
				s.serve(wt, w)
				return
			}
		}
		if len(s.waits.all)+1 < s.store.config.connections && time.Now().After(s.waits.barred) {
			wt := &waitConn{wait: w, step: connecting}
			w.waiter = wt
			s.waits.all = append(s.waits.all, wt)
			s.running++
			go s.connect(wt)
			return
		}
	}
	w.waiter = nil
	w.stand()
	s.waits.unmet = append(s.waits.unmet, w)
	s.rearm(pollEvery)
}

// serve has a wait session begin with a wait.
func (s *session) serve(wt *waitConn, w *wait) {
	wt.wait, w.waiter = w, wt
	w.cover = len(w.claims)
	if w.way < keeps {
		w.way = givesUp
		if s.affords(w) {
			w.way = keepsOnce
		}
	}
	if flagged(w) {
		s.run(wt, acquiring, []order{raiseFlag})
	} else {
		s.run(wt, acquiring, acquireScript(w))
	}
	if w.place == coming {
		s.confirm()
	}
}

// affords reports whether a wait session may keep what it waits for: at least half
// of them are there for those who wait. Now and then none may, for only who gives the
// lock up to the holder session finds out that somebody takes it without the gate.
func (s *session) affords(w *wait) bool {
	if w.lock.id.class != backend.Mutex || len(s.waits.unmet) > 0 {
		return false
	}
	keepers := 0
	for _, wt := range s.waits.all {
		if wt.grip != nil || wt.wait != nil && wt.wait != w && wt.wait.way != givesUp {
			keepers++
		}
	}
	if keepers >= (s.store.config.connections-1)/2 {
		return false
	}
	s.waits.afforded++
	return s.waits.afforded%probeEvery != 1
}

// probeEvery is how often a wait session gives up what it could keep.
const probeEvery = 16

// free gives an idle wait session to the next wait that has none.
func (s *session) free(wt *waitConn) {
	wt.step, wt.wait, wt.script = idle, nil, nil
	wt.used = time.Now()
	for i, w := range s.waits.unmet {
		if w.place != trying && time.Now().After(w.pause) {
			s.waits.unmet = slices.Delete(s.waits.unmet, i, i+1)
			s.serve(wt, w)
			return
		}
	}
}

// confirm has the holder session look whether those who have begun to wait stand
// in a queue by now: who comes later has to come in later. A wait session tells
// nothing until it has got what it waits for.
func (s *session) confirm() {
	if s.waits.confirming {
		return
	}
	var unsure []int64
	raising := false
	for _, wt := range s.waits.all {
		switch w := wt.wait; {
		case w == nil || w.place != coming || wt.step != acquiring || !wt.wire.Busy:
		case wt.raising():
			raising = true
		default:
			unsure = append(unsure, wt.wire.PID)
		}
	}
	if len(unsure) == 0 && !raising {
		return
	}
	s.waits.confirming = true
	s.holder.extras = append(s.holder.extras, extra{pgsql.Standing, pids(unsure), func(stand []int64, _ *pgconn.PgError) {
		for _, wt := range s.waits.all {
			// Where the server does not tell, that is how long it takes.
			taken := wt.next == nil && time.Since(wt.began) > s.unseen()
			w := wt.wait
			if w == nil || wt.wire == nil {
				continue
			}
			found := slices.Contains(stand, wt.wire.PID)
			if found {
				s.prolong(wt, s.holder.proved)
			}
			if found || taken {
				w.stand()
				s.waits.pause = 0
			}
		}
		// A server that is busy gets to it the sooner the less it is asked.
		s.waits.pause = min(max(2*s.waits.pause, confirmFirst), confirmMost)
		s.waits.glance.Reset(s.waits.pause)
	}})
}

// glances has it looked again. The timer of confirm calls it.
func (s *session) glances() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.waits.confirming = false
	s.confirm()
	s.pump()
	poke(s.moved) // Apply may have to read what comes of it.
}

const (
	confirmFirst = 100 * time.Microsecond // between two looks whether somebody stands in a queue
	confirmMost  = 2 * time.Millisecond
)

// unseen is how long a wait session may take to get to stand in a queue, on a machine
// that has no time for it.
func (s *session) unseen() time.Duration { return min(time.Second, s.ttl/6) }
