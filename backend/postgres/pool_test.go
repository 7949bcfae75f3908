package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dlock-go/dlock"
)

// A pool that gives up its connections after a second has nothing to say about
// those that hold locks, nor do these count against its own.
func TestPoolWithShortLifetimeKeepsLocks(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	config, err := pgxpool.ParseConfig(r.url())
	r.must(err)
	config.MaxConns = 1
	config.MaxConnLifetime, config.MaxConnIdleTime, config.HealthCheckPeriod = time.Second, time.Second, 50*time.Millisecond
	pool, err := pgxpool.NewWithConfig(r.ctx, config)
	r.must(err)
	defer pool.Close()
	st, err := NewFromPool(pool)
	r.must(err)
	c, other := r.over(st), r.client(r.url())
	h := r.acquire(c.Mutex("x"))
	granted := r.acquiring(c.Mutex("y"))
	r.must(comes(r, "grant", granted).Release(r.ctx))
	// The pool serves its owner all the while, and replaces its connection.
	first := pidOf(r, pool)
	r.until("the pool has a new connection", func() bool { return pidOf(r, pool) != first })
	time.Sleep(time.Until(time.Now().Add(config.MaxConnLifetime))) // the locks' connection is older than that in any case
	r.must(h.Err())
	r.available(other.Mutex("x"), false)
	r.must(h.Release(r.ctx))
	r.available(other.Mutex("x"), true)
	r.must(c.Close(r.ctx))
	if pool.Stat().TotalConns() > 1 {
		t.Errorf("%d connections are in the pool", pool.Stat().TotalConns())
	}
	var setting string
	r.must(pool.QueryRow(r.ctx, "SELECT current_setting('idle_session_timeout') || current_setting('search_path')").Scan(&setting))
	if setting != `0"$user", public` {
		t.Errorf("the settings of the pool's connections have become %s", setting)
	}
}

// pidOf returns the backend of the pool's connection.
func pidOf(r *fixture, pool *pgxpool.Pool) (pid int) {
	r.Helper()
	r.must(pool.QueryRow(r.ctx, "SELECT pg_backend_pid()").Scan(&pid))
	return pid
}

// The pool's owner has all of its connections, and the client can open no session
// to wait with.
func TestPoolThatIsExhaustedKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	config, err := pgxpool.ParseConfig(r.url())
	r.must(err)
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(r.ctx, config)
	r.must(err)
	defer pool.Close()
	st, err := NewFromPool(pool)
	r.must(err)
	c, other := r.over(st, dlock.WithTTL(2*time.Second)), r.client(r.url())
	r.must(r.acquire(c.Mutex("y")).Release(r.ctx))
	owned, err := pool.Acquire(r.ctx)
	r.must(err)
	defer owned.Release()
	h := r.acquire(other.Mutex("x"))
	granted := r.acquiring(c.Mutex("x"))
	select {
	case <-granted:
		t.Fatal("two hold one lock")
	case <-time.After(500 * time.Millisecond):
	}
	r.must(h.Release(r.ctx))
	r.must(comes(r, "grant", granted).Release(r.ctx))
}
