package backendtest

import (
	"errors"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var lossChecks = []check{
	{"loss/a Release of what was lost unnoticed is NotHeld, and a second one Released", checkNotHeld},
	{"loss/it is told while the lock is held", checkLossTold},
}

// losing runs a check of each way to take a lock, where locks can be lost.
func (f *fixture) losing(check func(f *fixture, op backend.Op)) {
	f.Helper()
	if f.Lose == nil {
		f.Skip("the harness has no Lose")
	}
	for _, op := range ways {
		f.step(fmt.Sprintf("%v, mode %d, limit %d", op.Class, op.Mode, op.Limit), func(f *fixture) { check(f, op) })
	}
}

func checkNotHeld(f *fixture) {
	f.losing(func(f *fixture, op backend.Op) {
		s := f.alone()
		mine, _ := s.take(op)
		f.Lose(f.T, f.open(), op.Class, op.Name)
		next := f.peer().acquire(op)
		told := s.told(mine)
		r := s.answer(release(mine))
		switch {
		case told:
		case s.over != nil:
			if !errors.Is(s.over, backend.ErrSessionOver) {
				f.Errorf("Release: %s; want NotHeld, or ErrSessionOver", s.said(r))
			}
		case r.State == backend.Released: // The event may have been on its way.
			if !s.beats(f.TTL, func() bool { return s.told(mine) }) {
				f.Error("Release of what was lost is Released, and nothing tells of the loss")
			}
		case r.State != backend.NotHeld:
			f.Errorf("Release of what was lost: %s; want NotHeld", s.said(r))
		}
		if s.over == nil {
			if r := s.answer(release(mine)); s.over == nil && r.State != backend.Released {
				f.Errorf("a second Release: %s; want Released", s.said(r))
			}
		}
		next.wait()
		next.holding()
		next.release()
		f.peer().free(op)
	})
}

func checkLossTold(f *fixture) {
	f.losing(func(f *fixture, op backend.Op) {
		s := f.alone()
		mine, grant := s.take(op)
		f.Lose(f.T, f.open(), op.Class, op.Name)
		lapsed := func() bool {
			until := s.until(grant.Lease.ID)
			return !until.IsZero() && !time.Now().Before(until)
		}
		if !s.beats(f.bound(), func() bool { return s.told(mine) || s.over != nil || lapsed() }) {
			f.Fatalf("a hold is lost, and nothing has told of it for %v", f.bound())
		}
		if s.over == nil {
			if r := s.answer(release(mine)); s.over == nil && r.State != backend.Released && r.State != backend.NotHeld {
				f.Errorf("Release of what was lost: %s", s.said(r))
			}
		}
		f.peer().free(op)
	})
}
