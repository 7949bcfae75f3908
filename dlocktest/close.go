package dlocktest

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/internal/leak"
)

var closeChecks = []check{
	{"close/refuses what comes", checkCloseRefuses},
	{"close/fails who waits and gives back what is held", checkCloseEnds},
	{"close/unlock and release after it are harmless", checkCloseUnlock},
	{"close/a second one, and several at once", checkCloseTwice},
	{"close/with a ctx that has ended lets go all the same", checkCloseCut},
	{"close/leaves no goroutine", checkCloseGoroutines},
}

func checkCloseRefuses(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		p := f.client()
		used, unused := p.lock(k, "used"), p.lock(k, "unused")
		f.free(used)
		p.close()
		f.refuses(used, dlock.ErrClosed)
		f.refuses(unused, dlock.ErrClosed)
	})
	f.step("a client that was never used", func(f *fixture) {
		p := f.client()
		p.close()
		f.refuses(p.Mutex(f.name("a")), dlock.ErrClosed)
	})
}

func checkCloseEnds(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		rival := b.lock(k.rival(), "a")
		held := f.take(a.lock(k, "a"))
		ctx, lost := held.Context(), held.Lost()
		a.lock(k, "locked").Lock()
		other := f.take(b.lock(k.rival(), "b"))
		defer runtime.KeepAlive(other) // A hold that is garbage is released.
		local, remote := f.waiter(a.lock(k.rival(), "a")), f.waiter(a.lock(k, "b"))
		elsewhere := f.waiter(rival)
		b.queued(k.rival().class, "a", 1)

		a.close()
		for _, w := range []*waiter{local, remote} {
			if o := w.end(); !errors.Is(o.err, dlock.ErrClosed) || o.hold != nil {
				f.Errorf("a waiter got %v, %v", o.hold, o.err)
			}
		}
		f.release(elsewhere.granted())
		f.free(rival)
		f.free(b.lock(k.rival(), "locked"))

		done(f, "the context of the hold is done", ctx.Done())
		for _, err := range []error{held.Err(), context.Cause(ctx)} {
			if !errors.Is(err, dlock.ErrReleased) || !errors.Is(err, dlock.ErrClosed) || errors.Is(err, dlock.ErrLost) {
				f.Errorf("the holder finds %v; want ErrReleased and ErrClosed", err)
			}
		}
		if closed(lost) {
			f.Error("Lost is closed by Close")
		}
	})
}

func checkCloseUnlock(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		p, ctx := f.client(), f.patient()
		x, y, h := p.lock(k, "x"), p.lock(k, "y"), f.take(p.lock(k, "h"))
		x.Lock()
		y.Lock()
		p.close()
		x.Unlock()
		if err := y.UnlockContext(ctx); err != nil {
			f.Errorf("UnlockContext after Close: %v", err)
		}
		if err := h.Release(ctx); err != nil {
			f.Errorf("Release after Close: %v", err)
		}
		mustPanic(f, "a second unlock", x.Unlock)
	})
	f.step("in Do", func(f *fixture) {
		p, mine := f.client(), errors.New("an error of f")
		err := p.Mutex(f.name("a")).Do(f.patient(), func(context.Context) error { p.close(); return mine })
		if !errors.Is(err, mine) || errors.Is(err, dlock.ErrLost) {
			f.Errorf("Do returned %v; want the error of f and no loss", err)
		}
	})
}

func checkCloseTwice(f *fixture) {
	p, other := f.client(), f.client()
	p.RWMutex(f.name("a")).Lock()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
			defer cancel()
			if err := p.Close(ctx); err != nil {
				f.Errorf("Close: %v", err)
			}
			// Each of them waits for the end.
			if !other.RWMutex(f.name("a")).TryRLock() {
				f.Error("what the client held is not free when Close returns")
			}
		})
	}
	all.Wait()
	p.close()
}

func checkCloseCut(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		rival := b.lock(k.rival(), "a")
		h := f.take(a.lock(k, "a"))
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if err := a.Close(over); err != nil && !errors.Is(err, context.Canceled) {
			f.Errorf("Close with a ctx that has ended: %v", err)
		}
		if h.Err() == nil {
			f.Error("a hold says that it is held after Close")
		}
		f.within(f.Patience+2*f.TTL, "the lock is free", rival.TryLock)
		rival.Unlock()
	})
}

func checkCloseGoroutines(f *fixture) {
	warm := f.client() // What a driver starts once is not counted.
	f.free(warm.Mutex(f.name("warm")))
	warm.close()
	for range 3 {
		left := leak.Watch(func() {
			clients := f.clients(3, dlock.WithLossHandler(func(dlock.Loss) {}))
			var waiters []*waiter
			for _, p := range clients {
				for _, k := range singles[:3] {
					waiters = append(waiters, f.waiter(p.lock(k, "a")))
				}
			}
			for _, p := range clients {
				if err := p.Close(f.patient()); err != nil {
					f.Errorf("Close: %v", err)
				}
			}
			for _, w := range waiters {
				w.end()
			}
		})
		for _, stack := range leak.Gone(left, f.Patience) {
			f.Errorf("a goroutine is left:\n%s", stack)
		}
	}
}
