package dlocktest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

var cancelChecks = []check{
	{"cancel/a deadline is kept and leaves nothing behind", checkDeadline},
	{"cancel/a cancelled waiter returns at once and leaves nothing behind", checkCancelled},
	{"cancel/a cancelled waiter does not keep those behind it", checkCancelledFirst},
	{"cancel/a release is complete when it returns, after a waiter of its client gave up", checkReleaseAfterCancel},
	{"cancel/a ctx that has ended fails, tries too", checkOver},
	{"cancel/the end of ctx does not end what was granted", checkGrantOutlives},
}

// waysToWait are the ways to wait for a lock.
var waysToWait = []struct {
	name string
	wait func(ctx context.Context, l lock) error
}{
	{"LockContext", func(ctx context.Context, l lock) error { return l.LockContext(ctx) }},
	{"Acquire", func(ctx context.Context, l lock) error { _, err := l.Acquire(ctx); return err }},
	{"Do", func(ctx context.Context, l lock) error {
		return l.Do(ctx, func(context.Context) error { return errors.New("f was called") })
	}},
}

func checkDeadline(f *fixture) {
	const (
		deadline = 200 * time.Millisecond
		slack    = 2 * time.Second // It tells a deadline that is kept from one that is not, on any machine.
		rounds   = 4
	)
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		held := f.take(a.lock(k.rival(), "a"))
		var mu sync.Mutex
		var late []time.Duration
		var all sync.WaitGroup
		for i := range rounds * len(waysToWait) {
			way, l := waysToWait[i%len(waysToWait)], []*client{a, b}[i%2].lock(k, "a")
			all.Go(func() {
				began := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), deadline)
				defer cancel()
				err := way.wait(ctx, l)
				took := time.Since(began)
				if !errors.Is(err, context.DeadlineExceeded) {
					f.Errorf("%s at its deadline: %v", way.name, err)
				}
				if took < deadline || took > deadline+slack {
					f.Errorf("%s with a deadline of %v took %v", way.name, deadline, took)
				}
				mu.Lock()
				late = append(late, took-deadline)
				mu.Unlock()
			})
		}
		all.Wait()
		slices.Sort(late)
		f.Logf("late by %v in the median, at most %v", late[len(late)/2], late[len(late)-1])
		f.nothingLeft(k, b)
		f.release(held)
		f.freed(f.client().lock(k, "a"))
	})
}

// nothingLeft waits until a client that has given up has no place at the store.
func (f *fixture) nothingLeft(k kind, p *client) {
	f.Helper()
	f.until("the store has no place of one who gave up", func() bool {
		a := p.recorder.account(k.class, f.name("a"))
		return a.waiting == 0 && a.holding == 0
	})
}

func checkCancelled(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		held := f.take(a.lock(k.rival(), "a"))
		for _, p := range []*client{a, b} {
			w := f.waiter(p.lock(k, "a"))
			if p == b {
				b.queued(k.class, "a", 1)
			}
			w.waiting()
			began := time.Now()
			w.cancel()
			o := w.end()
			if !errors.Is(o.err, context.Canceled) || o.hold != nil {
				f.Errorf("cancelled Acquire returned %v, %v", o.hold, o.err)
			}
			if late := o.at.Sub(began); late > time.Second {
				f.Errorf("cancelled Acquire returned after %v", late)
			}
		}
		f.nothingLeft(k, b)
		f.release(held)
		f.freed(f.client().lock(k, "a"))
	})
}

func checkCancelledFirst(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b, c := f.client(), f.client(), f.client()
		held := f.take(a.lock(k.rival(), "a"))
		first := f.waiter(b.lock(k, "a"))
		b.queued(k.class, "a", 1)
		second := f.waiter(b.lock(k, "a"))
		third := f.waiter(c.lock(k, "a"))
		c.queued(k.class, "a", 1)
		first.cancel()
		f.release(held)
		// It may have been granted in the same moment, and gives that back.
		if o := first.end(); o.err == nil {
			f.release(o.hold)
		} else if !errors.Is(o.err, context.Canceled) {
			f.Error(o.err)
		}
		f.serve(second, third)
		f.freed(a.lock(k, "a"))
	})
}

func checkReleaseAfterCancel(f *fixture) {
	f.forKinds(exclusives, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		mine, theirs := a.lock(k, "a"), b.lock(k, "a")
		for range 20 {
			h := f.take(mine)
			w := f.waiter(mine)
			w.cancel()
			if o := w.end(); !errors.Is(o.err, context.Canceled) {
				f.Fatal(o.err)
			}
			f.release(h)
			f.free(theirs)
		}
	})
}

func checkOver(f *fixture) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	f.forKinds(kinds, func(f *fixture, k kind) {
		l := f.client().lock(k, "a")
		for _, ctx := range []context.Context{cancelled, expired} {
			for _, way := range waysToWait {
				if err := way.wait(ctx, l); !errors.Is(err, ctx.Err()) {
					f.Errorf("%s: %v, want %v", way.name, err, ctx.Err())
				}
			}
			if ok, err := l.TryLockContext(ctx); ok || !errors.Is(err, ctx.Err()) {
				f.Errorf("TryLockContext: %v, %v, want %v", ok, err, ctx.Err())
			}
			if h, err := l.TryAcquire(ctx); h != nil || !errors.Is(err, ctx.Err()) {
				f.Errorf("TryAcquire: %v, %v, want %v", h, err, ctx.Err())
			}
		}
		f.free(f.client().lock(k.rival(), "a"))
		mustPanic(f, "unlock after locks that failed", l.Unlock)
	})
}

func checkGrantOutlives(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		l, other := a.lock(k, "a"), b.lock(k.rival(), "a")
		ctx, cancel := context.WithCancel(context.Background())
		h, err := l.Acquire(ctx)
		if err != nil {
			f.Fatal(err)
		}
		cancel()
		if err := h.Err(); err != nil {
			f.Errorf("Err is %v after the end of the caller's ctx", err)
		}
		f.busy(other)
		f.release(h)
		f.free(other)
	})
}
