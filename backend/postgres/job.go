package postgres

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// A job is an op that Apply works on.
type job struct {
	op      *backend.Op
	lock    *lock
	claim   *claim
	started bool
	first   bool // the first Release of an owner that was granted
	done    bool
	slow    bool // it has to do with a wait that is being ended
	again   bool // it is a Release that was asked for before
	result  backend.Result
}

// advance starts the jobs that can be started and takes the answers that are
// there. It returns how many jobs are left, and how many of these have to do with a
// wait that is being ended. Jobs on one lock are done in order.
func (s *session) advance() (left, slow int) {
	s.pass++
	s.freeing = false
	for i := range s.jobs {
		j := &s.jobs[i]
		if j.done {
			continue
		}
		if j.lock != nil && j.lock.pass == s.pass {
			left++
			if j.slow = j.lock.slow == s.pass; j.slow {
				slow++
			}
			s.freeing = s.freeing || j.op.Do == backend.Release
			continue
		}
		if !j.started && s.err == nil {
			s.start(j)
		}
		if j.started && !j.done {
			s.look(j)
		}
		if !j.done {
			left++
			s.freeing = s.freeing || j.op.Do == backend.Release
			l := j.lock
			if l != nil && (!j.started || j.op.Do == backend.Acquire) {
				l.pass = s.pass // An unlock goes before what is asked next.
			}
			j.slow = l != nil && (j.withdraws() || !j.started && (l.ending() || s.holder.dry.why != nil))
			if j.slow {
				slow++
				l.slow = s.pass
			}
		}
	}
	return left, slow
}

// start begins with a job, if what is under way already lets it.
func (s *session) start(j *job) {
	switch j.op.Do {
	case backend.Acquire:
		s.startAcquire(j)
	case backend.Release:
		s.startRelease(j)
	default:
		s.did(j, backend.Result{State: backend.Failed, Err: backend.ErrUnsupported})
	}
}

// startRelease is start for a Release.
func (s *session) startRelease(j *job) {
	op := j.op
	if l := s.locks[lockID{op.Class, op.Name}]; l != nil && l.pass == s.pass {
		s.at(j, l)
		return // Behind another job, perhaps the Acquire of this very owner.
	}
	j.started = true
	j.claim = s.claims[op.Owner]
	if j.claim == nil {
		s.did(j, backend.Result{State: backend.Released})
		return
	}
	s.at(j, j.claim.lock)
	j.first, j.again = j.claim.granted(), j.claim.state == leaving
	s.release(j.claim)
}

// startAcquire is start for an Acquire.
func (s *session) startAcquire(j *job) {
	op := j.op
	if err := op.Check(); err != nil {
		s.did(j, backend.Result{State: backend.Failed, Err: err})
		return
	}
	if c := s.claims[op.Owner]; c != nil {
		if l := c.lock; l.id != (lockID{op.Class, op.Name}) || l.limit != op.Limit || c.mode != op.Mode {
			s.did(j, backend.Result{State: backend.Failed, Err: backend.ErrOwner})
			return
		}
		s.at(j, c.lock)
		j.claim, j.started = c, true
		return
	}
	if j.lock == nil {
		l, err := s.find(op)
		if err != nil {
			s.did(j, backend.Result{State: backend.Failed, Err: err})
			return
		}
		s.at(j, l)
		if l.pass == s.pass {
			return // Behind another job.
		}
	}
	l := j.lock
	switch {
	case l.limit != op.Limit && l.users > 0:
		s.did(j, backend.Result{State: backend.Failed, Err: backend.ErrLimit})
		return
	case l.deciding > 0 || l.ending() || l.limit != op.Limit && l.unlocking > 0:
		return
	case s.active >= s.store.config.locks && s.freeing:
		return // What is released before it makes room.
	case s.active >= s.store.config.locks:
		s.did(j, backend.Result{State: backend.Failed, Err: fmt.Errorf("the client holds or awaits %d locks, the most that it may (see WithMaxLocks)", s.active)})
		return
	}
	if l.limit != op.Limit {
		l.limit = op.Limit
		l.slots = newSlots(l.key, l.limit)
	}
	j.started = true
	j.claim = &claim{owner: op.Owner, lock: l, mode: op.Mode, wait: op.Wait}
	s.claims[op.Owner] = j.claim
	s.ask(j.claim)
}

// withdraws reports whether a job ends a wait.
func (j *job) withdraws() bool {
	return j.op.Do == backend.Release && j.claim != nil && j.claim.stood
}

func (s *session) at(j *job, l *lock) {
	if j.lock == nil {
		j.lock = l
		l.jobs++
	}
}

func (s *session) did(j *job, r backend.Result) {
	j.started, j.done, j.result = true, true, r
}

// released returns the result of a release, which may have found nothing to release.
func released(missing bool) backend.Result {
	if missing {
		return backend.Result{State: backend.NotHeld}
	}
	return backend.Result{State: backend.Released}
}

// look answers a job if its claim has come far enough.
func (s *session) look(j *job) {
	c := j.claim
	if j.op.Do == backend.Release {
		switch {
		case c.state == held: // What it asked for was refused.
			s.did(j, backend.Result{State: backend.Refused, Err: c.err})
		case c.state == leaving && s.quiet(c):
			delete(s.claims, c.owner)
			s.did(j, released(j.first && c.missing))
		}
		return
	}
	switch c.state {
	case held:
		s.did(j, backend.Result{State: backend.Granted})
	case queued:
		if w := c.lock.waits[c.mode]; w.place != coming {
			c.told = true
			s.did(j, backend.Result{State: backend.Queued})
		}
	case lost:
		// Its owner was told. Until it has released, there is nothing to say.
		s.did(j, backend.Result{State: backend.Unknown})
	case refused:
		delete(s.claims, c.owner)
		if c.err != nil {
			s.did(j, refusal(c.err))
		} else {
			s.did(j, backend.Result{State: backend.Busy})
		}
	}
}

// dismiss lets go of the locks of jobs.
func (s *session) dismiss() {
	for i := range s.jobs {
		if l := s.jobs[i].lock; l != nil {
			l.jobs--
			s.forget(l)
		}
	}
}
