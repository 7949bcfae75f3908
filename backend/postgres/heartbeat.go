package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// What is done now and then.
const (
	slotFirst  = time.Millisecond / 2   // the head of a semaphore's queue looks for a slot, after twice as long each time
	slotEvery  = 5 * time.Millisecond   // at the most
	pollEvery  = 10 * time.Millisecond  // it is looked for those without a wait session
	pollMore   = 50 * time.Microsecond  // longer for each of them
	pauseFor   = time.Second            // whom the server refuses a place does without one
	lookEvery  = 700 * time.Millisecond // it is looked, in heartbeats, whether wait sessions are in the way
	idleFor    = time.Minute            // a wait session is kept
	foreignFor = 10 * time.Second       // it is remembered that somebody takes a lock without the gate
)

// tend keeps the wait sessions alive, and in nobody's way. Apply calls it.
func (s *session) tend(now time.Time) {
	for _, wt := range s.waits.all {
		switch {
		case wt.wire != nil && wt.wire.Busy && (wt.pinged || wt.step != acquiring) && now.Sub(wt.wire.Sent) > s.ttl:
			_ = wt.wire.Conn.Close() // Its reader does the rest.
		case wt.wire == nil || wt.wire.Busy || now.Sub(wt.wire.Sent) < s.ttl/4:
		case wt.step == idle && now.Sub(wt.used) > idleFor:
			_ = wt.wire.Conn.Close() // Its reader does the rest.
		default:
			wt.pinged = true
			wt.wire.Exec(pgsql.Ping)
			s.dispatch(wt, now)
		}
	}
	if now.Sub(s.waits.looked) < lookEvery {
		return
	}
	s.waits.looked = now
	for k, seen := range s.waits.foreign {
		if now.Sub(seen) > foreignFor {
			delete(s.waits.foreign, k)
		}
	}
	var old, ages, all []int64
	turns := len(s.waits.unmet)
	for _, wt := range s.waits.all {
		if now.Sub(wt.began) < lookEvery {
			continue
		}
		switch {
		case wt.step == acquiring && wt.wire.Busy && !wt.pinged:
			all = append(all, wt.wire.PID)
			if turns > 0 {
				turns--
				wt.rotate = true
				s.cancel(wt)
			} else {
				old, ages = append(old, wt.wire.PID), append(ages, now.Sub(wt.began).Milliseconds())
			}
		case wt.step == landing && turns > 0 && wt.wait.place != trying:
			turns--
			s.clear(wt)
		}
	}
	if len(old) > 0 {
		s.holder.extras = append(s.holder.extras, extra{pgsql.Stalling, [][]byte{pgwire.AppendArray(nil, pgwire.OIDInt4, old), pgwire.AppendArray(nil, pgwire.OIDInt8, ages)}, s.giveWay})
	}
	if len(all) > 0 {
		s.holder.extras = append(s.holder.extras, extra{pgsql.Alive, pids(all), func(alive []int64, _ *pgconn.PgError) { s.miss(all, alive) }})
	}
}

// miss gives up those of the wait sessions with these backends that do not wait
// any more, by the server's account, and have not said so: their connections are
// dead. An answer may just be on its way, so it takes two looks.
func (s *session) miss(all, alive []int64) {
	if alive == nil {
		return // The question has failed.
	}
	for _, wt := range s.waits.all {
		if wt.wire == nil || wt.step != acquiring || !wt.wire.Busy || !slices.Contains(all, wt.wire.PID) {
			continue
		}
		if wt.missed++; slices.Contains(alive, wt.wire.PID) {
			wt.missed = 0
			s.prolong(wt, s.holder.proved)
		} else if wt.missed > 1 {
			_ = wt.wire.Conn.Close() // Its reader does the rest.
		}
	}
}

// giveWay interrupts the wait sessions with these backends: somebody waits for
// the end of their transactions. In the next they go on waiting.
func (s *session) giveWay(backends []int64, _ *pgconn.PgError) {
	for _, pid := range backends {
		for _, wt := range s.waits.all {
			if wt.wire != nil && wt.wire.PID == pid && wt.step == acquiring && wt.wire.Busy {
				s.cancel(wt)
			}
		}
	}
}

// rearm has the clock ring in d, if it would not anyway.
func (s *session) rearm(d time.Duration) {
	if s.err != nil {
		return
	}
	if d == pollEvery {
		d += time.Duration(len(s.waits.unmet)) * pollMore
	}
	if at := time.Now().Add(d); s.alarm.IsZero() || at.Before(s.alarm) {
		s.alarm = at
		s.clock.Reset(d)
	}
}

// rings tries what can only be had by trying. The clock calls it.
func (s *session) rings() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.alarm = time.Time{}
	for _, wt := range s.waits.all {
		if w := wt.wait; wt.step == landing && w.place != trying && len(w.claims) > 0 {
			if left := time.Until(w.due); left > 0 {
				s.rearm(left)
			} else {
				s.land(w)
			}
		}
		if wt.unwanted() {
			s.cancel(wt)
		}
	}
	s.seek(time.Now())
	s.probe(time.Now())
	s.holder.pending = append(s.holder.pending, s.holder.later...)
	clear(s.holder.later)
	s.holder.later = s.holder.later[:0]
	for _, w := range s.waits.unmet {
		if w.place != trying {
			w.place = trying
			w.lock.deciding++
			s.holder.pending = append(s.holder.pending, request{kind: poll, lock: w.lock, wait: w})
		}
	}
	s.pump()
	poke(s.moved) // Apply may have to read what comes of it.
}
