package backendtest

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

var faultChecks = []check{
	{"fault/a hold stands while answers are late and connections are cut", checkHoldStands},
	{"fault/the deadline is counted from before the request, and lies before the next grant", checkDeadlineFromRequest},
	{"fault/a session whose lease has ended does not go on", checkLapsedSession},
	{"fault/after a restart of the store ordinals grow and locks can be had", checkRestart},
}

func checkHoldStands(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		b := f.behind(cuts)
		s, rival := f.subject(b), f.rival(b)
		mine, grant := s.take(op)
		next := rival.acquire(op)
		// renewed waits until the lease has been renewed since a moment.
		renewed := func(what string, since time.Time) {
			f.Helper()
			if s.apply(); grant.Lease.Until.IsZero() {
				return
			}
			s.alive(what+": the lease is renewed", func() bool {
				until := s.until(grant.Lease.ID)
				if !time.Now().Before(until) {
					f.Fatalf("%s: the hold is lost", what)
				}
				return until.After(since.Add(f.TTL * 3 / 4))
			})
		}

		s.delay(f.TTL / 6)
		for over := time.Now().Add(f.TTL * 3 / 2); time.Now().Before(over); {
			renewed("answers are late", time.Now())
		}
		s.delay(0)
		renewed("answers are in time again", time.Now())

		b.Pause()
		resume := time.AfterFunc(f.TTL/4, b.Resume)
		renewed("nothing passed for a while", time.Now())
		resume.Stop()
		b.Resume()

		if !b.CutEnds {
			for range 3 {
				b.Cut()
				renewed("a connection was cut", time.Now())
				b.Pause()
				s.apply()
				late := b.Cut()
				b.Resume()
				late()
				renewed("a connection was cut while nothing passed", time.Now())
			}
		}

		if next.waiting(); len(next.turn) > 0 {
			f.Error("another was granted the lock")
		}
		if r := s.answer(mine); r.State != backend.Granted || r.Grant.Ordinal != grant.Ordinal {
			f.Errorf("the hold is not what it was: %s, ordinal %d after %d", s.said(r), r.Grant.Ordinal, grant.Ordinal)
		}
		if r := s.answer(release(mine)); r.State != backend.Released {
			f.Errorf("Release: %s; want Released", s.said(r))
		}
		next.wait()
	})
}

func checkDeadlineFromRequest(f *fixture) {
	b := f.behind(func(b *Between) bool { return delays(b) && pauses(b) })
	s, rival := f.subject(b), f.rival(b)
	elsewhere := rival.take(mutex("b"))
	s.delay(f.TTL / 5)
	_, grant := s.take(mutex("a"))
	if grant.Lease.Until.IsZero() {
		f.Skip("the driver has no leases")
	}
	s.beats(f.TTL, nil)
	waiting := s.claim(mutex("b"), true)
	if r := s.answer(waiting); r.State != backend.Queued {
		f.Fatalf("Acquire: %s; want Queued", s.said(r))
	}
	elsewhere.release()
	s.granted(waiting)
	s.beats(f.TTL/2, nil)
	if s.over != nil {
		f.Fatalf("the session has died: %v", s.over)
	}

	next := rival.acquire(mutex("a"))
	b.Pause()
	next.wait()
	if early := time.Until(s.until(grant.Lease.ID)); early > 0 {
		f.Errorf("another holds the lock %v before the lease ends", early)
	}
}

func checkLapsedSession(f *fixture) {
	run := func(cut bool) func(*fixture) {
		return func(f *fixture) {
			b := f.behind(func(b *Between) bool { return pauses(b) && (!cut || cuts(b)) })
			s, rival := f.subject(b), f.rival(b)
			mine, grant := s.take(mutex("a"))
			if grant.Lease.Until.IsZero() && !b.CutEnds {
				f.Skip("the driver has no leases")
			}
			next := rival.acquire(mutex("a"))
			b.Pause()
			if !s.beats(f.bound(), func() bool { return len(next.turn) > 0 }) {
				f.Fatalf("a hold whose session is silent was not over after %v", f.bound())
			}
			if cut {
				defer b.Cut()()
			}
			b.Resume()
			s.beats(f.TTL, func() bool {
				if r := s.apply(mine)[0]; r.State == backend.Granted {
					f.Errorf("a session whose lease has ended says that it holds what another holds")
					return true
				}
				return s.over != nil
			})
			next.holding()
			if s.over == nil {
				if r := s.answer(release(mine)); s.over == nil && r.State != backend.Released && r.State != backend.NotHeld {
					f.Errorf("Release of what was lost: %s", s.said(r))
				}
			}
			next.holding()
			next.release()
			rival.free(mutex("a"))
		}
	}
	f.step("on the same connection", run(false))
	f.step("on a new connection", run(true))
}

func checkRestart(f *fixture) {
	b := f.behind(repairs)
	before := f.subject(b)
	_, grant := before.take(mutex("a"))
	ctx, cancel := f.patient()
	defer cancel()
	before.close(ctx)
	b.Restart()
	var after *subject
	for deadline := time.Now().Add(f.Patience); after == nil; time.Sleep(time.Millisecond) {
		session, err := b.Open().Open(ctx, f.TTL, f.clientInfo())
		if err == nil {
			after = f.adopt(b, session)
		} else if time.Now().After(deadline) {
			f.Fatalf("Open after the restart: %v", err)
		}
	}
	if _, next := after.take(mutex("a")); f.Caps.Fencing && next.Ordinal <= grant.Ordinal {
		f.Errorf("ordinal %d came after %d", next.Ordinal, grant.Ordinal)
	}
}
