package dlock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// Locks of one name in two stores are two locks.
func TestCompositeOverStores(t *testing.T) {
	var clients [2]*dlock.Client
	for i := range clients {
		c, err := dlock.New(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		clients[i] = c
	}
	both := dlock.All(clients[0].Mutex("x"), clients[1].Mutex("x"))
	h, err := both.TryAcquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if c.Mutex("x").TryLock() {
			t.Error("a part of a composite is free")
		}
	}
	if err := h.Release(context.Background()); err != nil {
		t.Error(err)
	}
}

// A named store has another URL.
type named struct {
	backend.Backend
	url string
}

func (n named) String() string { return n.url }

// Two processes with different URLs of one store take its locks in the same order.
func TestCompositeOrderWithoutURLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, u := memory.New(), memory.New()
		watch := newClient(t, s, time.Minute)
		other := newClient(t, u, time.Minute)
		first := acquire(t, watch.Mutex("x"))
		locked := make(chan struct{}, 2)
		for _, url := range []string{"a://s", "z://s"} {
			both := dlock.All(newClient(t, named{s, url}, time.Minute).Mutex("x"),
				newClient(t, named{u, "m://u"}, time.Minute).Mutex("y"))
			go func() {
				both.Lock()
				locked <- struct{}{}
				both.Unlock()
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait() // Both wait for the first lock now, and nobody has the second.
		if mu := other.Mutex("y"); !mu.TryLock() {
			t.Error("one has begun with the second lock")
		} else {
			mu.Unlock()
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-locked
		<-locked
		synctest.Wait()
	})
}

// A part that panics leaves nothing behind.
func TestCompositeFreesWhenAPartPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := memory.New(), memory.New()
		a, rival := newClient(t, one, time.Minute), newClient(t, one, time.Minute)
		closed := newClient(t, two, time.Minute)
		holder := newClient(t, two, time.Minute)
		h := acquire(t, holder.Mutex("y"))
		both := dlock.All(closed.Mutex("y"), a.Mutex("x"))

		// One panics while it waits, the other at once.
		for range 2 {
			got := make(chan any, 1)
			go func() { got <- panicking(both.Lock) }()
			time.Sleep(time.Second)
			if err := closed.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err, ok := (<-got).(error); !ok || !errors.Is(err, dlock.ErrClosed) {
				t.Errorf("the composite of a closed client panics with %v", err)
			}
			if mu := rival.Mutex("x"); !mu.TryLock() {
				t.Error("the first part is still held")
			} else {
				mu.Unlock()
			}
		}
		_ = h.Release(t.Context())
	})
}

// Nor does one whose tracer panics.
func TestCompositeFreesWhenATracerPanics(t *testing.T) {
	store := memory.New()
	n := 0
	c, err := dlock.New(store, dlock.WithTracerProvider(newRecorder()), dlock.WithTraceName(func(name string) string {
		if n++; n == 2 {
			panic("of the program")
		}
		return name
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for range 2 {
		n = 0
		if v := panicking(dlock.All(c.Mutex("x"), c.Mutex("y")).Lock); v != "of the program" {
			t.Errorf("the panic has become %v", v)
		}
		if mu := newClient(t, store, time.Minute).Mutex("x"); !mu.TryLock() {
			t.Error("the first part is still held")
		} else {
			mu.Unlock()
		}
	}
}

// A part that is lost while later ones are awaited fails the whole at once. Lock
// starts again.
func TestCompositeLosesAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		store := backendtest.Faulty(inner, backendtest.Plan{})
		t.Cleanup(store.Bury)
		c, book := loggingClient(t, store)
		rival := newClient(t, inner, time.Minute)
		both := dlock.All(c.Mutex("x"), c.Mutex("y"))
		h := acquire(t, rival.Mutex("y"))
		lose := func() {
			t.Helper()
			time.Sleep(time.Minute)
			if n := store.Lose("x"); n != 1 {
				t.Fatalf("%d have the first part", n)
			}
		}
		for name, call := range map[string]func(context.Context) error{
			"LockContext": both.LockContext,
			"Acquire":     func(ctx context.Context) error { _, err := both.Acquire(ctx); return err },
			"Do": func(ctx context.Context) error {
				return both.Do(ctx, func(context.Context) error { t.Error("f is called"); return nil })
			},
		} {
			got := make(chan error, 1)
			go func() { got <- call(t.Context()) }()
			lose()
			began := time.Now()
			if err := <-got; !errors.Is(err, dlock.ErrLost) || !errors.Is(err, backendtest.ErrInjected) || time.Since(began) > 0 {
				t.Errorf("%s returned %v after %v", name, err, time.Since(began))
			}
			synctest.Wait()
			if mu := rival.Mutex("x"); !mu.TryLock() {
				t.Errorf("%s leaves the first part taken", name)
			} else {
				mu.Unlock()
			}
			if _, waiters, _ := inner.Inspect(t.Context(), backend.Mutex, "y"); len(waiters) != 0 {
				t.Errorf("%s leaves %d waiting for the second part", name, len(waiters))
			}
		}

		locked := make(chan struct{})
		go func() { both.Lock(); close(locked) }()
		lose()
		lose()
		time.Sleep(time.Minute)
		if rival.Mutex("x").TryLock() {
			t.Error("Lock has not taken the first part again")
		}
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-locked
		for _, name := range []string{"x", "y"} {
			if rival.Mutex(name).TryLock() {
				t.Errorf("%s is free", name)
			}
		}
		both.Unlock()
		synctest.Wait()
		if n := book.count("WARN dlock: a part of a composite was lost", "attempts="); n != 2 {
			t.Errorf("%d lines:\n%s", n, book)
		}
	})
}

// A deadline of the caller is still a deadline, and its cause is told.
func TestCompositeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		c := newClient(t, store, time.Minute)
		h := acquire(t, newClient(t, store, time.Minute).Mutex("y"))
		why := fmt.Errorf("the request is over")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		err := dlock.All(c.Mutex("x"), c.Mutex("y")).LockContext(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, why) || errors.Is(err, dlock.ErrLost) {
			t.Errorf("LockContext returned %v", err)
		}
		_ = h.Release(t.Context())
	})
}
