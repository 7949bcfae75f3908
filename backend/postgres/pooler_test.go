package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/pgtest"
)

func TestPoolerInSessionModeWorks(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	pooler := pgtest.NewPooler(t, r.server, pgtest.SessionPooling, map[string]string{"default_pool_size": "40"})
	a, b, direct := r.client(pooler.DatabaseURL(r.database)), r.client(pooler.DatabaseURL(r.database)), r.client(r.url())
	h := r.acquire(a.Mutex("x"))
	r.available(b.Mutex("x"), false)
	r.available(direct.Mutex("x"), false)
	last, _ := h.Token()
	r.must(h.Release(r.ctx))
	h = r.acquire(a.Mutex("x"))
	waiting := []<-chan *dlock.Hold{r.acquiring(b.Mutex("x"))}
	r.waiters(1)
	waiting = append(waiting, r.acquiring(direct.Mutex("x")))
	r.waiters(2)
	r.must(h.Release(r.ctx))
	for _, granted := range waiting {
		h := comes(r, "grant", granted)
		if token, ok := h.Token(); !ok || token <= last {
			t.Errorf("token %d follows %d", token, last)
		} else {
			last = token
		}
		r.must(h.Release(r.ctx))
	}

	h = r.acquire(a.Mutex("x"))
	r.must(pooler.Close())
	r.loses(h)
	r.must(r.acquire(direct.Mutex("x")).Release(r.ctx)) // The server hears of it later than the client.
}

func TestPoolerInOtherModesIsRefused(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for _, mode := range []pgtest.PoolMode{pgtest.TransactionPooling, pgtest.StatementPooling} {
		for _, size := range []int{1, 2, 20} {
			for _, others := range []int{0, 3} {
				t.Run(fmt.Sprintf("%s/%d/%d", mode, size, others), func(t *testing.T) {
					if others > 0 && size == 1 {
						t.Skip("others have the one connection")
					}
					pooler := pgtest.NewPooler(t, r.server, mode, map[string]string{"default_pool_size": fmt.Sprint(size), "query_wait_timeout": "20"})
					ctx, cancel := context.WithTimeout(r.ctx, patience)
					defer cancel()
					// Others make it a matter of chance which backend one meets.
					done := make(chan struct{}, others)
					busy, rest := context.WithCancel(ctx)
					for range others {
						conn := r.connect(pooler.DatabaseURL(r.database), func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol })
						go func() {
							defer func() { done <- struct{}{} }()
							for busy.Err() == nil {
								_, _ = conn.Exec(ctx, "SELECT pg_sleep(0.001)")
							}
						}()
					}
					for range 10 {
						c, err := dlock.Open(ctx, pooler.DatabaseURL(r.database))
						if err == nil {
							_ = c.Close(ctx)
							t.Fatal("the pooler is accepted")
						}
						if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), "transaction mode") || strings.Contains(err.Error(), pgtest.Password) {
							t.Fatal(err)
						}
					}
					rest()
					for range others {
						<-done
					}
				})
			}
		}
	}
}

// untouched checks that the connections of a pooler are as they were at first.
func (r *fixture) untouched(pooler *pgtest.Pooler) {
	r.Helper()
	for range 3 {
		conn := r.connect(pooler.DatabaseURL(r.database), func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol })
		set := ask[string](r, conn, "SELECT concat_ws(' ', current_setting('idle_session_timeout'), current_setting('search_path'), current_setting('synchronous_commit'), (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()))")
		if set != `0 "$user", public on 0 0` {
			r.Errorf("a connection of the pooler has %s", set)
		}
	}
}

// The pooler does nothing about what its clients leave on a connection. After one that was
// killed another can work, and one that closes leaves nothing.
func TestPoolerThatResetsNothing(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	pooler := pgtest.NewPooler(t, r.server, pgtest.SessionPooling, map[string]string{"default_pool_size": "3", "server_reset_query": ""})
	url := pooler.DatabaseURL(r.database)
	for i := range 3 {
		b := r.bare(url, 10*time.Second)
		x := b.acquire(backend.Semaphore, "x")
		b.apply([]backend.Op{b.acquire(backend.Mutex, fmt.Sprint("held ", i)), x}, backend.Granted, backend.Granted)
		b.apply([]backend.Op{b.release(x)}, backend.Released)
		s := b.Session.(*session)
		s.mu.Lock()
		s.die(errors.New("killed"))
		s.mu.Unlock()
		c := r.client(url)
		r.must(r.acquire(c.Mutex("y")).Release(r.ctx))
		r.must(c.Close(r.ctx))
	}
}

// Nothing is left set on a connection of a pooler that is refused, or that was used and
// closed.
func TestPoolerGetsItsConnectionsBackAsTheyWere(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	shared := pgtest.NewPooler(t, r.server, pgtest.TransactionPooling, map[string]string{"default_pool_size": "1", "query_wait_timeout": "20"})
	r.refused(shared.DatabaseURL(r.database))
	r.untouched(shared)
	apart := pgtest.NewPooler(t, r.server, pgtest.SessionPooling, map[string]string{"default_pool_size": "4", "server_reset_query": ""})
	c := r.client(apart.DatabaseURL(r.database))
	r.must(r.acquire(c.Mutex("x")).Release(r.ctx))
	r.must(c.Close(r.ctx))
	r.untouched(apart)
}

func TestPoolerWithTooSmallAPool(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	pooler := pgtest.NewPooler(t, r.server, pgtest.SessionPooling, map[string]string{"default_pool_size": "1"})
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	_, err := open(t, pooler.DatabaseURL(r.database)).Open(ctx, 10*time.Second, backend.ClientInfo{})
	if err == nil || !strings.Contains(err.Error(), "default_pool_size") {
		t.Error(err)
	}
}
