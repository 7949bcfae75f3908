package backendtest

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var lateChecks = []check{
	{"late/an Acquire that comes after its Release leaves nothing behind", checkLateAcquire},
	{"late/an Acquire that comes after the end of its session leaves nothing behind", checkLateAfterClose},
	{"late/a Release that comes twice frees nothing else", checkLateRelease},
	{"late/an Acquire whose answer was lost is known by its owner", checkLostGrant},
	{"late/a Release after no answer is Released", checkLostRelease},
}

// noPhantom fails the test unless the lock is free, or becomes so by the end of a
// lease, though s lives on.
func (f *fixture) noPhantom(s *subject, rival *peer, op backend.Op) {
	f.Helper()
	// What has arrived is carried out soon.
	free := func() bool {
		c := rival.try(op)
		if c != nil {
			c.release()
		}
		return c != nil
	}
	if s.beats(f.TTL/4, func() bool { return !free() }) && !s.beats(4*f.TTL, free) {
		f.Fatalf("somebody holds the lock that asked for it and released it, or is gone, for %v", 4*f.TTL)
	}
}

func checkLateAcquire(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		b := f.behind(cuts)
		s, rival := f.subject(b), f.rival(b)
		for _, wait := range []bool{false, true} {
			if s.over != nil {
				s = f.subject(b)
			}
			lost := s.claim(op, wait)
			b.Pause()
			if r := s.apply(lost)[0]; r.State != backend.Unknown {
				f.Fatalf("Acquire while nothing passes: %s", s.said(r))
			}
			late := b.Cut()
			b.Resume()
			if r := s.answer(release(lost)); s.over == nil && r.State != backend.Released {
				f.Errorf("Release after an Acquire without an answer: %s; want Released", s.said(r))
			}
			late()
			f.noPhantom(s, rival, op)
			if s.over == nil { // and it is as good as new
				mine, _ := s.take(op)
				rival.busy(op)
				s.answer(release(mine))
			}
		}
	})
}

func checkLateAfterClose(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		b := f.behind(cuts)
		rival := f.rival(b)
		for _, cut := range []bool{false, true} {
			s := f.subject(b)
			b.Pause()
			if r := s.apply(s.claim(op, true))[0]; r.State != backend.Unknown {
				f.Fatalf("Acquire while nothing passes: %s", s.said(r))
			}
			late := func() {}
			if cut {
				late = b.Cut()
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.close(ctx)
			b.Resume()
			late()
			s.over = backend.ErrClosed
			f.noPhantom(s, rival, op)
		}
	})
}

func checkLateRelease(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		b := f.behind(cuts)
		s, rival := f.subject(b), f.rival(b)
		first, _ := s.take(op)
		b.Pause()
		if r := s.apply(release(first))[0]; r.State != backend.Unknown {
			f.Fatalf("Release while nothing passes: %s", s.said(r))
		}
		late := b.Cut()
		b.Resume()
		if r := s.answer(release(first)); s.over == nil && r.State != backend.Released {
			f.Errorf("Release after no answer: %s; want Released", s.said(r))
		}
		if s.over != nil {
			late()
			f.noPhantom(s, rival, op)
			return
		}
		second, _ := s.take(op)
		late()
		s.beats(f.TTL/4, func() bool {
			rival.busy(op)
			return false
		})
		if r := s.answer(second); r.State != backend.Granted {
			f.Errorf("Acquire of a holder: %s; want Granted", s.said(r))
		}
	})
}

// unanswered has s apply op, with an answer that never comes.
func (f *fixture) unanswered(b *Between, s *subject, op backend.Op) {
	f.Helper()
	s.delay(time.Hour)
	r := s.apply(op)[0]
	late := b.Cut()
	s.delay(0)
	late()
	if r.State != backend.Unknown {
		f.Fatalf("no answer came, and Apply says: %s", s.said(r))
	}
}

func checkLostGrant(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		b := f.behind(cuts)
		s, rival := f.subject(b), f.rival(b)
		mine := s.claim(op, true)
		f.unanswered(b, s, mine)
		r := s.answer(mine)
		if r.State == backend.Queued {
			s.granted(mine)
		} else if s.over == nil && r.State != backend.Granted {
			f.Errorf("Acquire after no answer: %s; want Granted", s.said(r))
		}
		if s.over == nil {
			rival.busy(op)
			if r := s.answer(release(mine)); r.State != backend.Released {
				f.Errorf("Release: %s; want Released", s.said(r))
			}
		}
		f.noPhantom(s, rival, op)
	})
}

func checkLostRelease(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		b := f.behind(cuts)
		s, rival := f.subject(b), f.rival(b)
		mine, _ := s.take(op)
		f.unanswered(b, s, release(mine))
		if r := s.answer(release(mine)); s.over == nil && r.State != backend.Released {
			f.Errorf("Release after a Release without an answer: %s; want Released", s.said(r))
		}
		f.noPhantom(s, rival, op)
		if s.over != nil {
			s = f.subject(b)
		}
		mine = s.claim(op, true)
		f.unanswered(b, s, mine)
		if r := s.answer(release(mine)); s.over == nil && r.State != backend.Released {
			f.Errorf("Release after an Acquire without an answer: %s; want Released", s.said(r))
		}
		f.noPhantom(s, rival, op)
	})
}
