package dlocktest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock"
)

var exclusionChecks = []check{
	{"exclusion/held elsewhere, another name free, free again after release", checkHeldElsewhere},
	{"exclusion/two values of one client exclude each other", checkTwoValues},
	{"exclusion/a waiter gets the lock when it is released", checkWaiterServed},
	{"exclusion/a second release does not disturb the next holder", checkReleaseTwice},
	{"exclusion/Unlock ends what Lock on this value took, and nothing else", checkUnlockOwn},
	{"exclusion/a release whose ctx has ended goes on in the background", checkReleaseHandsOver},
	{"exclusion/100 goroutines of one client", func(f *fixture) { f.forKinds(exclusives, checkCrowdOfOne) }},
	{"exclusion/100 goroutines of four clients", func(f *fixture) { f.forKinds(exclusives, checkCrowdOfFour) }},
}

func checkHeldElsewhere(f *fixture) {
	f.forKinds(exclusives, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		mine, theirs, another := a.lock(k, "a"), b.lock(k, "a"), b.lock(k, "another")

		mine.Lock()
		f.busy(theirs)
		f.free(another)
		mine.Unlock()
		f.free(theirs)

		if err := theirs.LockContext(f.patient()); err != nil {
			f.Fatal(err)
		}
		f.busy(mine)
		if err := theirs.UnlockContext(f.patient()); err != nil {
			f.Fatal(err)
		}
		f.free(mine)

		h := f.take(mine)
		f.busy(theirs)
		f.release(h)
		f.free(theirs)
	})
}

func checkTwoValues(f *fixture) {
	f.forKinds(exclusives, func(f *fixture, k kind) {
		p := f.client()
		x, y := p.lock(k, "a"), p.lock(k, "a")
		x.Lock()
		f.busy(x) // It is not reentrant.
		f.busy(y)
		w := f.waiter(y)
		w.waiting()
		x.Unlock()
		f.release(w.granted())
		f.free(x)
	})
}

func checkWaiterServed(f *fixture) {
	f.forKinds(exclusives, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		mine, theirs := a.lock(k, "a"), b.lock(k, "a")
		for range 5 {
			h := f.take(mine)
			w := f.waiter(theirs)
			b.queued(k.class, "a", 1)
			w.waiting()
			f.release(h)
			h = w.granted()
			f.busy(mine)
			f.release(h)
		}
	})
}

func checkReleaseTwice(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b, c := f.client(), f.client(), f.client()
		first := f.take(a.lock(k, "a"))
		f.release(first)
		f.release(first)
		for _, p := range []*client{a, b} { // The next holder is of the same client, or of another.
			second := f.take(p.lock(k, "a"))
			f.release(first)
			f.busy(c.lock(k.rival(), "a"))
			if err := second.Err(); err != nil {
				f.Errorf("the next holder finds %v", err)
			}
			f.release(second)
		}
		// Many at once release once.
		third := f.take(a.lock(k, "a"))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := third.Release(context.Background()); err != nil {
					f.Errorf("Release: %v", err)
				}
			})
		}
		f.wait(&all)
		f.freed(c.lock(k.rival(), "a"))
	})
}

func checkUnlockOwn(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		l, other := a.lock(k, "a"), b.lock(k.rival(), "a")

		h := f.take(l)
		mustPanic(f, "unlock of a value of which only a Hold was taken", l.Unlock)
		f.busy(other)
		f.release(h)

		l.Lock()
		mustPanic(f, "unlock of another value of the same lock", a.lock(k, "a").Unlock)
		f.busy(other)
		l.Unlock()
		f.free(other)
		mustPanic(f, "second unlock", l.Unlock)
	})
	f.step("of several tickets", func(f *fixture) {
		a, b := f.client(), f.client()
		s, other := a.Semaphore(f.name("s"), 3), b.Semaphore(f.name("s"), 3)
		s.Lock()
		s.Lock()
		h := f.take(s)
		f.busy(other)
		s.Unlock()
		f.free(other)
		s.Unlock()
		mustPanic(f, "third unlock", s.Unlock)
		if err := h.Err(); err != nil {
			f.Errorf("the Hold beside what Lock took: %v", err)
		}
		f.release(h)
	})
}

func checkReleaseHandsOver(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		a, b := f.client(), f.client()
		l, other := a.lock(k, "a"), b.lock(k.rival(), "a")

		h := f.take(l)
		w := f.waiter(other)
		if err := h.Release(over); err != nil {
			f.Errorf("Release with a ctx that has ended: %v", err)
		}
		if err := h.Err(); !errors.Is(err, dlock.ErrReleased) {
			f.Errorf("Err is %v after Release with a ctx that has ended", err)
		}
		f.release(w.granted())

		l.Lock()
		w = f.waiter(other)
		if err := l.UnlockContext(over); err != nil {
			f.Errorf("UnlockContext with a ctx that has ended: %v", err)
		}
		f.release(w.granted())
	})
}

// A crowd is many goroutines that want the same lock.
type crowd struct {
	f      *fixture
	inside atomic.Int32
	served atomic.Int32
}

// visit takes the lock by one of the ways to take it, and looks whether anybody
// else has it.
func (c *crowd) visit(l lock, way int, section func()) {
	inside := func() {
		if n := c.inside.Add(1); n != 1 {
			c.f.Errorf("%d hold the lock", n)
		}
		section()
		c.inside.Add(-1)
		c.served.Add(1)
	}
	check := func(err error) bool {
		if err != nil {
			c.f.Error(err)
		}
		return err == nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*c.f.Patience)
	defer cancel()
	switch way % 5 {
	case 0:
		l.Lock()
		inside()
		l.Unlock()
	case 1:
		if check(l.LockContext(ctx)) {
			inside()
			check(l.UnlockContext(ctx))
		}
	case 2:
		if h, err := l.Acquire(ctx); check(err) {
			inside()
			check(h.Release(ctx))
		}
	case 3:
		check(l.Do(ctx, func(context.Context) error { inside(); return nil }))
	case 4:
		if !l.TryLock() {
			l.Lock()
		}
		inside()
		l.Unlock()
	}
}

const crowdSize = 100

func checkCrowdOfOne(f *fixture, k kind) {
	p := f.client()
	c := &crowd{f: f}
	l := p.lock(k, "a")
	total := 0 // Not atomic: the race detector sees whether Unlock synchronizes before Lock.
	var all sync.WaitGroup
	for i := range crowdSize {
		all.Go(func() {
			c.visit(l, i, func() {
				time.Sleep(time.Duration(1+i%10) * time.Millisecond)
				total++
			})
		})
	}
	f.wait(&all)
	if total != crowdSize {
		f.Errorf("%d of %d were served", total, crowdSize)
	}
	f.freed(l)
}

func checkCrowdOfFour(f *fixture, k kind) {
	clients := f.clients(4)
	c := &crowd{f: f}
	var all sync.WaitGroup
	for i := range crowdSize {
		l := clients[i%len(clients)].lock(k, "a")
		all.Go(func() {
			c.visit(l, i/len(clients), func() { time.Sleep(time.Duration(1+i%10) * time.Millisecond) })
		})
	}
	f.wait(&all)
	if n := c.served.Load(); n != crowdSize {
		f.Errorf("%d of %d were served", n, crowdSize)
	}
	f.freed(clients[0].lock(k, "a"))
}
