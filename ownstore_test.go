package dlock_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// A pooled store owns something that is closed with it.
type pooled struct {
	*backendtest.FaultyBackend
	sessions atomic.Int64  // that are open
	closed   atomic.Int64  // calls of Close
	early    atomic.Bool   // a session was open then
	pause    time.Duration // that Close takes
}

var errPool = errors.New("the pool is stuck")

func (p *pooled) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := p.FaultyBackend.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	p.sessions.Add(1)
	return pooledSession{s, p}, nil
}

func (p *pooled) Close(ctx context.Context) error {
	p.closed.Add(1)
	if p.sessions.Load() > 0 {
		p.early.Store(true)
	}
	select {
	case <-time.After(p.pause):
		return errPool
	case <-ctx.Done():
		return ctx.Err()
	}
}

type pooledSession struct {
	backend.Session
	p *pooled
}

func (s pooledSession) Close(ctx context.Context) error {
	defer s.p.sessions.Add(-1)
	time.Sleep(time.Second)
	return s.Session.Close(ctx)
}

// nextPooled is what the URL pooled: names.
var nextPooled atomic.Pointer[pooled]

func init() {
	backend.Register("pooled", func(string) (backend.Backend, error) { return nextPooled.Load(), nil })
}

func newPooled(t *testing.T) *pooled {
	p := &pooled{FaultyBackend: backendtest.Faulty(memory.New(), backendtest.Plan{}), pause: time.Second}
	t.Cleanup(p.Bury)
	nextPooled.Store(p)
	return p
}

// A store that a client has made of a URL is closed once, after its sessions.
func TestOwnStoreIsClosed(t *testing.T) {
	quiet := dlock.WithLogger(slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		p := newPooled(t)
		c, err := dlock.Open(t.Context(), "pooled:", quiet)
		if err != nil {
			t.Fatal(err)
		}
		c.Mutex("x").Lock()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := c.Close(t.Context()); !errors.Is(err, errPool) {
					t.Errorf("Close returned %v", err)
				}
			})
		}
		all.Wait()
		if n := p.closed.Load(); n != 1 || p.early.Load() {
			t.Errorf("the store was closed %d times (before its sessions: %t)", n, p.early.Load())
		}
	})
	synctest.Test(t, func(t *testing.T) { // Close does not wait beyond its ctx, and the store is closed all the same.
		p := newPooled(t)
		c, err := dlock.Open(t.Context(), "pooled:", quiet)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 1500*time.Millisecond {
			t.Errorf("Close returned %v after %v", err, time.Since(began))
		}
		synctest.Wait()
		if n := p.closed.Load(); n != 1 || p.early.Load() {
			t.Errorf("the store was closed %d times (before its sessions: %t)", n, p.early.Load())
		}
	})
}

// So is that of an Open that fails.
func TestOwnStoreOfAFailedOpenIsClosed(t *testing.T) {
	quiet := dlock.WithLogger(slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		p := newPooled(t)
		p.FailNext(backendtest.FailOpen, 1)
		if _, err := dlock.Open(t.Context(), "pooled:", quiet); !errors.Is(err, backendtest.ErrInjected) {
			t.Errorf("Open returned %v", err)
		}
		if n := p.closed.Load(); n != 1 {
			t.Errorf("the store was closed %d times", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPooled(t)
		if _, err := dlock.Open(t.Context(), "pooled:", dlock.WithTTL(0)); err == nil {
			t.Error("Open with a bad option")
		}
		if n := p.closed.Load(); n != 1 {
			t.Errorf("the store was closed %d times", n)
		}
	})
}

// A store that a client was given is not its own.
func TestGivenStoreIsNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPooled(t)
		c := newClient(t, p, time.Minute)
		c.Mutex("x").Lock()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := p.closed.Load(); n != 0 {
			t.Errorf("the store was closed %d times", n)
		}
	})
}
