package backendtest

import (
	"errors"

	"github.com/dlock-go/dlock/backend"
)

var exclusionChecks = []check{
	{"exclusion/claims the capabilities it is known for", checkCaps},
	{"exclusion/held by one and free again after release", checkExclusion},
	{"exclusion/repeated acquire of a holder answers the same grant", checkRepeatHeld},
	{"exclusion/release of an unknown owner succeeds", checkReleaseUnknown},
	{"exclusion/second release does not disturb the next holder", checkReleaseTwice},
	{"exclusion/release counts for its own owner alone", checkReleaseOwner},
	{"exclusion/a try that is busy leaves nothing behind", checkTryLeavesNothing},
	{"exclusion/owners of one session exclude each other", checkOwnersOfOneSession},
	{"exclusion/an owner stands for one lock, mode and limit", checkOwner},
	{"exclusion/what no store can carry out fails, and leaves nothing behind", checkMisfits},
	{"exclusion/a waiter is woken by an event", checkWake},
}

// locks are ways to take a lock alone, one for each class.
var locks = []backend.Op{mutex("a"), writer("a"), ticket("a", 1)}

// forLocks runs a check of exclusion on each class.
func (f *fixture) forLocks(check func(f *fixture, op backend.Op)) { f.steps(locks, check) }

func checkCaps(f *fixture) {
	b := f.open()
	if got := b.Caps(); got != f.Caps {
		f.Errorf("Caps are %+v, not %+v", got, f.Caps)
	}
	if b.String() == "" {
		f.Error("String is empty")
	}
}

func checkExclusion(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := a.try(op)
		if held == nil {
			f.Fatal("a lock that nobody holds is busy")
		}
		b.busy(op)
		another := op
		another.Name = "another"
		b.free(another)
		held.release()
		b.free(op)
		a.free(op)
	})
}

func checkRepeatHeld(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := a.take(op)
		held.holding() // the peer compares the ordinals
		held.holding()
		b.busy(op)
		held.release()
		b.free(op) // it was held once, however often it was asked for
	})
}

func checkReleaseUnknown(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := a.take(op)
		a.claim(op, true, nil).release()
		b.claim(op, true, nil).release()
		held.holding()
		b.busy(op)
	})
}

func checkReleaseTwice(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		first := a.take(op)
		first.release()
		first.release()
		second := b.take(op)
		first.release()
		second.holding()
		c.busy(op)
		// Nor does it disturb another owner of the same session.
		second.release()
		third := a.take(op)
		first.release()
		third.holding()
		c.busy(op)
	})
}

func checkReleaseOwner(f *fixture) {
	a, b := f.peer(), f.peer()
	// Both peers count their owners from one, so the numbers are the same.
	x, y := a.take(mutex("x")), b.take(mutex("y"))
	other := a.take(mutex("z"))
	x.release()
	y.holding()
	other.holding()
	a.busy(mutex("y"))
	b.busy(mutex("z"))
	b.free(mutex("x"))
}

func checkTryLeavesNothing(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		held := a.take(op)
		for range 3 {
			b.busy(op)
		}
		held.release()
		c.free(op)
	})
}

func checkOwnersOfOneSession(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		first := a.take(op)
		a.busy(op)
		second := a.acquire(op)
		second.waiting()
		first.holding()
		first.release()
		second.wait()
		b.busy(op)
		second.release()
		b.free(op)
	})
	f.step("a reader and a writer", func(f *fixture) {
		a := f.peer()
		read := a.take(reader("r"))
		a.busy(writer("r"))
		write := a.acquire(writer("r"))
		write.waiting()
		a.busy(reader("r"))
		read.release()
		write.wait()
		a.busy(reader("r"))
		write.release()
		a.free(reader("r"))
	})
}

func checkWake(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		holder := f.peer().take(op)
		for range 10 {
			p := f.peer()
			next := p.acquire(op)
			next.waiting()
			holder.release()
			next.wait()
			holder = next
		}
	})
}

// ways are ways to take a lock, of each class and mode.
var ways = []backend.Op{mutex("a"), writer("a"), reader("a"), ticket("a", 1), ticket("a", 3)}

func checkOwner(f *fixture) {
	for name, held := range map[string]bool{"that holds": true, "that waits": false} {
		f.step(name, func(f *fixture) {
			for _, op := range ways {
				s, b := f.alone(), f.peer()
				if !held {
					alone := op
					alone.Mode = backend.Exclusive
					for range op.Limit {
						b.take(alone)
					}
				}
				mine := s.claim(op, true)
				before := s.answer(mine)
				for _, other := range append(ways, mutex("b"), writer("b"), reader("b"), ticket("b", 1), ticket("a", 4)) {
					if other == op {
						continue
					}
					other.Do, other.Owner, other.Wait = backend.Acquire, mine.Owner, true
					if r := s.answer(other); r.State != backend.Failed || !errors.Is(r.Err, backend.ErrOwner) {
						f.Fatalf("the owner of a %v of mode %d and limit %d asks for a %v %q of mode %d and limit %d: %s; want ErrOwner",
							op.Class, op.Mode, op.Limit, other.Class, other.Name, other.Mode, other.Limit, s.said(r))
					}
				}
				if after := s.answer(mine); after.State != before.State || after.Grant.Ordinal != before.Grant.Ordinal {
					f.Errorf("it was answered by %+v before, and is by %+v", before, after)
				}
				s.answer(release(mine))
				b.close()
				c := f.peer()
				for _, free := range []backend.Op{mutex("a"), writer("a"), ticket("a", 5), mutex("b"), writer("b"), ticket("b", 5)} {
					c.free(free) // what failed has left nothing
				}
			}
		})
	}
}

func checkMisfits(f *fixture) {
	s, b := f.alone(), f.peer()
	misfit := func(op backend.Op, change func(op *backend.Op)) backend.Op {
		change(&op)
		return op
	}
	for _, c := range []struct {
		op    backend.Op
		cause error
	}{
		{misfit(mutex("a"), func(op *backend.Op) { op.Limit = 0 }), backend.ErrUnsupported},
		{misfit(mutex("a"), func(op *backend.Op) { op.Limit = 2 }), backend.ErrUnsupported},
		{misfit(mutex("a"), func(op *backend.Op) { op.Mode = backend.Shared }), backend.ErrUnsupported},
		{misfit(mutex("a"), func(op *backend.Op) { op.Mode = 0 }), backend.ErrUnsupported},
		{misfit(writer("a"), func(op *backend.Op) { op.Limit = 0 }), backend.ErrUnsupported},
		{misfit(writer("a"), func(op *backend.Op) { op.Limit = 2 }), backend.ErrUnsupported},
		{misfit(reader("a"), func(op *backend.Op) { op.Limit = 0 }), backend.ErrUnsupported},
		{misfit(reader("a"), func(op *backend.Op) { op.Limit = 2 }), backend.ErrUnsupported},
		{misfit(ticket("a", 1), func(op *backend.Op) { op.Mode = backend.Shared }), backend.ErrUnsupported},
		{misfit(mutex("a"), func(op *backend.Op) { op.Class = 0 }), backend.ErrUnsupported},
		{misfit(mutex("a"), func(op *backend.Op) { op.Class = backend.Semaphore + 1 }), backend.ErrUnsupported},
		{misfit(mutex("a"), func(op *backend.Op) { op.Name = "" }), backend.ErrName},
		{ticket("a", 0), backend.ErrLimit},
		{ticket("a", backend.MaxLimit+1), backend.ErrLimit},
	} {
		for _, wait := range []bool{false, true} {
			op := s.claim(c.op, wait)
			if r := s.answer(op); r.State != backend.Failed || !errors.Is(r.Err, c.cause) {
				f.Errorf("class %d, mode %d, limit %d, name %q: %s; want %v", op.Class, op.Mode, op.Limit, op.Name, s.said(r), c.cause)
			}
			if r := s.answer(release(op)); r.State != backend.Released {
				f.Errorf("Release of what failed: %s; want Released", s.said(r))
			}
		}
	}
	for _, op := range ways {
		b.free(op)
	}
}
