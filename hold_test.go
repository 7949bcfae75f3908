package dlock_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// newClient returns a client that is closed with the test.
func newClient(t *testing.T, b backend.Backend, ttl time.Duration) *dlock.Client {
	t.Helper()
	c, err := dlock.New(b, dlock.WithTTL(ttl), dlock.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func acquire(t *testing.T, m interface {
	Acquire(context.Context) (*dlock.Hold, error)
}) *dlock.Hold {
	t.Helper()
	h, err := m.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 3 * time.Second
		store := backendtest.Faulty(memory.New(), backendtest.Plan{Lease: ttl})
		t.Cleanup(store.Bury)
		c := newClient(t, store, ttl)
		h := acquire(t, c.Mutex("x"))
		patient := backendtest.Faulty(memory.New(), backendtest.Plan{Lease: time.Minute})
		t.Cleanup(patient.Bury)
		all := acquire(t, dlock.All(c.Mutex("y"),
			newClient(t, patient, time.Minute).Mutex("x"), newClient(t, memory.New(), ttl).Mutex("z")))
		// It is renewed, and never nearer than the time between two heartbeats allows.
		for range 20 {
			for _, h := range []*dlock.Hold{h, all} {
				if d, ok := h.Deadline(); !ok || time.Until(d) > ttl || time.Until(d) < ttl-ttl/3 {
					t.Fatalf("deadline in %v (%t)", time.Until(d), ok)
				}
			}
			time.Sleep(ttl / 7)
		}
		// It stands while the store does not answer, and is when the hold is lost.
		store.FailNext(backendtest.UnknownBefore, 1<<20)
		before, _ := h.Deadline()
		time.Sleep(ttl / 3)
		if d, ok := h.Deadline(); !ok || !d.Equal(before) {
			t.Errorf("the deadline of a silent store is %v (%t), it was %v", d, ok, before)
		}
		<-h.Lost()
		if late := time.Since(before); late < 0 || late > time.Millisecond {
			t.Errorf("lost %v after the deadline", late)
		}
		if _, ok := h.Deadline(); ok {
			t.Error("a lost hold has a deadline")
		}
		// A hold that becomes garbage is released from outside the bubble.
		_ = h.Release(context.Background())
		_ = all.Release(context.Background())
	})
}

func TestNoDeadline(t *testing.T) {
	c := newClient(t, memory.New(), time.Second)
	h := acquire(t, c.Mutex("x"))
	if d, ok := h.Deadline(); ok {
		t.Errorf("deadline %v in a store without leases", d)
	}
	store := backendtest.Faulty(memory.New(), backendtest.Plan{Lease: time.Minute})
	t.Cleanup(store.Bury)
	h = acquire(t, newClient(t, store, time.Minute).Mutex("x"))
	if _, ok := h.Deadline(); !ok {
		t.Error("no deadline in a store with leases")
	}
	if err := h.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Deadline(); ok {
		t.Error("a released hold has a deadline")
	}
}
