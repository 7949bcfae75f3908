package dlocktest

import (
	"context"
	"sync"
	"time"

	"github.com/dlock-go/dlock"
)

// A waiter is a call of Acquire on a goroutine of its own.
type waiter struct {
	f       *fixture
	cancel  context.CancelFunc
	outcome chan outcome // holds one: sent when Acquire returns
}

type outcome struct {
	hold *dlock.Hold
	err  error
	at   time.Time
}

// waiter starts a waiter and returns when its client knows of it.
func (f *fixture) waiter(l lock) *waiter {
	f.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f.Cleanup(cancel)
	arrival := newArrival(ctx)
	w := &waiter{f: f, cancel: cancel, outcome: make(chan outcome, 1)}
	go func() {
		h, err := l.Acquire(arrival)
		w.outcome <- outcome{h, err, time.Now()}
		arrival.tell()
	}()
	done(f, "a waiter has arrived", arrival.told)
	return w
}

// end waits for Acquire to return.
func (w *waiter) end() outcome {
	w.f.Helper()
	return done(w.f, "Acquire returns", w.outcome)
}

// granted waits for the hold.
func (w *waiter) granted() *dlock.Hold {
	w.f.Helper()
	o := w.end()
	if o.err != nil {
		w.f.Fatalf("Acquire: %v", o.err)
	}
	return o.hold
}

// serve has waiters give back what they get, in whatever order they get it: whose
// process has had its turn stands behind others.
func (f *fixture) serve(waiters ...*waiter) {
	f.Helper()
	outcomes := make(chan outcome, len(waiters))
	for _, w := range waiters {
		go func() { outcomes <- <-w.outcome }()
	}
	for range waiters {
		o := done(f, "Acquire returns", outcomes)
		if o.err != nil {
			f.Fatalf("Acquire: %v", o.err)
		}
		f.release(o.hold)
	}
}

// waiting fails the test when Acquire has returned.
func (w *waiter) waiting() {
	w.f.Helper()
	select {
	case o := <-w.outcome:
		w.f.Fatalf("Acquire returned %v, %v; it had to wait", o.hold, o.err)
	default:
	}
}

// An arrival is a context that tells when it is asked for its end. Whoever waits
// for a lock asks for that when its request is under way.
type arrival struct {
	context.Context
	told chan struct{} // closed by tell
	tell func()
}

func newArrival(ctx context.Context) *arrival {
	a := &arrival{Context: ctx, told: make(chan struct{})}
	a.tell = sync.OnceFunc(func() { close(a.told) })
	return a
}

func (a *arrival) Done() <-chan struct{} {
	a.tell()
	return a.Context.Done()
}
