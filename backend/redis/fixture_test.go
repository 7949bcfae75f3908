package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/redistest"
)

// patience bounds every wait for what has to come. It is no measure of speed.
const patience = 20 * time.Second

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open returns a client of the store at url, which the test closes.
func open(t *testing.T, url string, ttl time.Duration) *dlock.Client {
	t.Helper()
	c, err := dlock.Open(patient(t), url, dlock.WithTTL(ttl), dlock.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

func acquire(t *testing.T, l interface {
	Acquire(context.Context) (*dlock.Hold, error)
}) *dlock.Hold {
	t.Helper()
	h, err := l.Acquire(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func release(t *testing.T, h *dlock.Hold) {
	t.Helper()
	if err := h.Release(patient(t)); err != nil {
		t.Errorf("release: %v", err)
	}
}

// lost waits until a hold is told to be lost.
func lost(t *testing.T, h *dlock.Hold) {
	t.Helper()
	select {
	case <-h.Lost():
	case <-time.After(patience):
		t.Fatal("the loss is not told")
	}
	if !errors.Is(h.Err(), dlock.ErrLost) {
		t.Errorf("the error of a lost hold is %v", h.Err())
	}
}

// stands fails the test if a hold is lost within d.
func stands(t *testing.T, h *dlock.Hold, d time.Duration) {
	t.Helper()
	select {
	case <-h.Lost():
		t.Fatalf("lost: %v", h.Err())
	case <-time.After(d):
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func do(t *testing.T, s *redistest.Server, args ...string) string {
	t.Helper()
	v, err := s.Do(args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(v)
}

// waiters returns how many wait for locks of a name.
func waiters(t *testing.T, c *dlock.Client, name string) int {
	t.Helper()
	found, err := c.Inspect(patient(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return len(found.Waiters)
}

// session opens a bare session on a store.
func session(t *testing.T, b backend.Backend, ttl time.Duration) backend.Session {
	t.Helper()
	s, err := b.Open(patient(t), ttl, backend.ClientInfo{Host: "host", PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Close(ctx)
	})
	return s
}

func apply(t *testing.T, s backend.Session, ops ...backend.Op) []backend.Result {
	t.Helper()
	results, _, err := s.Apply(patient(t), ops)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func mutexOp(owner uint64, name string) backend.Op {
	return backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Wait: true, Limit: 1, Owner: owner, Name: name}
}

func released(op backend.Op) backend.Op {
	op.Do, op.Wait = backend.Release, false
	return op
}

// long reports whether tests are to take as long as they want.
func long() bool { return os.Getenv("DLOCK_LONG") != "" }
