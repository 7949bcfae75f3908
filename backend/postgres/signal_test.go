package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// muted calls run with stores whose sessions may not signal each other, nor see what the
// others do. As Vault and managed services have it, sessions are another role than
// they have logged in as.
func muted(t *testing.T, run func(r *fixture, st *Store)) {
	roles := func(r *fixture) (url string) {
		url = r.app()
		other := r.role + "_other"
		r.exec(r.watch, "CREATE ROLE "+other+"; GRANT "+other+" TO "+r.role)
		r.client(r.url()) // The superuser makes the sequence.
		r.exec(r.watch, "GRANT USAGE ON SCHEMA dlock TO "+other+"; GRANT ALL ON SEQUENCE dlock.token TO "+other)
		return url
	}
	for name, store := range map[string]func(r *fixture) *Store{
		"role of the role": func(r *fixture) *Store {
			url := roles(r)
			r.exec(r.watch, "ALTER ROLE "+r.role+" SET role = "+r.role+"_other")
			return open(r.T, url)
		},
		"role by the pool": func(r *fixture) *Store {
			config, err := pgxpool.ParseConfig(roles(r))
			r.must(err)
			config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
				_, err := c.Exec(ctx, "SET ROLE "+r.role+"_other")
				return err
			}
			pool, err := pgxpool.NewWithConfig(r.ctx, config)
			r.must(err)
			r.Cleanup(pool.Close)
			st, err := NewFromPool(pool)
			r.must(err)
			return st
		},
		"functions revoked": func(r *fixture) *Store {
			url := r.appRole()
			r.exec(r.watch, "REVOKE EXECUTE ON FUNCTION pg_cancel_backend(int), pg_terminate_backend(int, int8) FROM PUBLIC")
			return open(r.T, url)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t)
			run(r, store(r))
		})
	}
}

// Whoever may signal nobody can give up a wait all the same, and his other locks do not
// notice.
func TestWaitsEndForWhoMaySignalNobody(t *testing.T) {
	t.Parallel()
	muted(t, func(r *fixture, st *Store) {
		c, other := r.over(st), r.client(r.url())
		for _, of := range []func(*dlock.Client) acquirer{
			func(c *dlock.Client) acquirer { return c.Mutex("x") },
			func(c *dlock.Client) acquirer { return c.RWMutex("x") },
			func(c *dlock.Client) acquirer { return reader{c.RWMutex("y")} },
			func(c *dlock.Client) acquirer { return c.Semaphore("x", 1) },
		} {
			l := of(other)
			if read, ok := l.(reader); ok {
				l = read.RWMutex
			}
			h := r.acquire(l)
			ctx, cancel := context.WithTimeout(r.ctx, 300*time.Millisecond)
			_, err := of(c).Acquire(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				r.Error(err)
			}
			start := time.Now()
			for range 200 {
				r.must(r.acquire(c.Mutex("unrelated")).Release(r.ctx))
			}
			if took := time.Since(start); took > 20*time.Second {
				r.Errorf("200 unrelated locks took %v", took)
			}
			r.until("the wait is over", func() bool { return c.Stats().Waiting == 0 })
			r.waiters(0)
			r.must(h.Release(r.ctx))
			r.must(r.acquire(of(c)).Release(r.ctx))
		}
		// Nor does a wait keep the client from its end.
		h := r.acquire(other.Mutex("x"))
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		go func() { _, _ = c.Mutex("x").Acquire(ctx) }()
		r.waiters(1)
		closing, enough := context.WithTimeout(r.ctx, 5*time.Second)
		defer enough()
		r.must(c.Close(closing))
		r.waiters(0)
		r.must(h.Release(r.ctx))
		for line := range strings.Lines(r.server.Log()) {
			ours := strings.Contains(line, "] "+r.database+" dlock")
			if ours && strings.Contains(line, "ERROR") && !strings.Contains(line, "canceling statement") {
				r.Error(line)
			}
		}
	})
}

// A wait whose end the server does not hear of, since no connection gets through, is
// over when the server has found out that its connection is.
func TestWaitWhoseConnectionIsGone(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	h := r.acquire(r.client(r.url()).Mutex("x"))
	hole := newHole(r)
	b := r.bare(hole.url(r), 4*time.Second)
	x := b.acquire(backend.Mutex, "x")
	x.Wait = true
	b.apply([]backend.Op{x}, backend.Queued)
	r.waiters(1)
	hole.refuse()           // No request to cancel gets through,
	show := hole.hide(r, 1) // and the server does not see the end of the connection.
	y := b.acquire(backend.Mutex, "y")
	late := 0
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		start := time.Now()
		b.apply([]backend.Op{b.release(x), y}, backend.Unknown, backend.Granted)
		b.apply([]backend.Op{b.release(y)}, backend.Released)
		// A busy machine may make one late; who waits for x makes all of them.
		if took := time.Since(start); took > time.Second {
			if late++; late > 1 {
				t.Errorf("an unrelated lock took %v", took)
			}
		}
		y = b.acquire(backend.Mutex, "y")
	}
	r.waiters(1)
	show()
	r.until("the wait is over", func() bool {
		results, _, err := b.Apply(r.ctx, []backend.Op{b.release(x)})
		r.must(err)
		if len(results) == 1 && results[0].State == backend.Released {
			r.waiters(0)
			return true
		}
		return false
	})
	r.must(h.Release(r.ctx))
}

// A request to cancel that is slow to come does not hit who waits next on the connection,
// and cost him his place.
func TestLateCancelHitsNobodyElse(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	other := r.client(r.url())
	x, y := r.acquire(other.Mutex("x")), r.acquire(other.Mutex("y"))
	hole := newHole(r)
	b := r.bare(hole.url(r), time.Minute)
	first, next := b.acquire(backend.Mutex, "x"), b.acquire(backend.Mutex, "y")
	first.Wait, next.Wait = true, true
	b.apply([]backend.Op{first}, backend.Queued)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // It takes the request and does nothing.
	r.must(err)
	defer func() { _ = silent.Close() }()
	hole.mu.Lock()
	hole.server = silent.Addr().String()
	hole.mu.Unlock()
	start := time.Now()
	b.apply([]backend.Op{b.release(first)}, backend.Unknown)
	r.must(x.Release(r.ctx))
	r.until("the wait is over", func() bool {
		results, _, err := b.Apply(r.ctx, []backend.Op{b.release(first)})
		r.must(err)
		return results[0].State == backend.Released
	})
	b.apply([]backend.Op{next}, backend.Queued)
	if took := time.Since(start); took < 2*time.Second { // That long the request is waited for.
		t.Errorf("who waits next is in the queue after %v", took)
	}
	r.must(y.Release(r.ctx))
	events, err := b.Recv(r.ctx)
	r.must(err)
	if len(events) != 1 || events[0].Kind != backend.EventGranted {
		t.Errorf("there are events %+v", events)
	}
}
