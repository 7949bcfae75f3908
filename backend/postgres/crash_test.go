package postgres

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
)

// A server, or one of its backends, is killed while tokens are drawn without waiting for
// the disk. The sequence is ahead of the clock, so that this does not make it grow. Half
// of the numbers are drawn by hand, more than clients ever do.
func TestTokensGrowOverCrashes(t *testing.T) {
	t.Parallel()
	crashes := 10
	if long {
		crashes = 200
	}
	rnd := backendtest.Rand(t)
	r := newServer(t)
	r.opening(r.url())
	r.exec(r.watch, "SELECT setval('dlock.token', nextval('dlock.token') + 1000000000000000)")
	c := r.client(r.url())
	// The first token after a crash is had as soon as there is a server.
	token := func() (token uint64) {
		r.until("there is a token", func() bool {
			h, err := c.Mutex("x").Acquire(r.ctx)
			if err != nil {
				return false
			}
			token, _ = h.Token()
			_ = h.Release(r.ctx)
			return token > 0
		})
		return token
	}
	for crash := range crashes {
		var most atomic.Uint64
		seen := func(token uint64) {
			for old := most.Load(); token > old && !most.CompareAndSwap(old, token); old = most.Load() {
			}
		}
		seen(token())
		var stop atomic.Bool
		var running sync.WaitGroup
		for i := range 8 {
			running.Go(func() {
				m := c.Mutex(fmt.Sprint(i))
				for !stop.Load() {
					if h, err := m.Acquire(r.ctx); err == nil {
						token, _ := h.Token()
						seen(token)
						_ = h.Release(r.ctx)
					}
				}
			})
		}
		var hand *pgx.Conn
		r.until("the server has recovered", func() (up bool) {
			var err error
			hand, err = pgx.Connect(r.ctx, r.url())
			return err == nil
		})
		r.Cleanup(func() { _ = hand.Close(context.Background()) })
		r.exec(hand, "SET synchronous_commit = off")
		running.Go(func() {
			for !stop.Load() {
				var number uint64
				if hand.QueryRow(r.ctx, "SELECT max(nextval('dlock.token')) FROM generate_series(1, 100)").Scan(&number) != nil {
					return
				}
				seen(number << 12)
			}
		})
		time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
		what := "the server"
		if crash%2 == 0 {
			r.must(r.server.Kill())
			r.must(r.server.Restart())
		} else {
			what = "a backend"
			pids, err := r.server.SQL("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'dlock %'")
			r.must(err)
			all := strings.Fields(pids)
			pid, err := strconv.Atoi(all[rnd.IntN(len(all))])
			r.must(err)
			p, err := os.FindProcess(pid)
			r.must(err)
			r.must(p.Kill())
		}
		stop.Store(true)
		running.Wait()
		before := most.Load()
		// Tokens that were on their way when the workers ended are of the time before or after.
		if after := token(); after <= before {
			t.Fatalf("crash %d, of %s: token %d follows %d", crash, what, after, before)
		}
	}
}

// A client's connections may lead to several servers, as they do in a fail-over. What one
// grants that its session is not on is not granted.
func TestWaitSessionOnAnotherServer(t *testing.T) {
	t.Parallel()
	r, elsewhere := newServer(t), newServer(t)
	elsewhere.opening(elsewhere.url())
	hole := newHole(r)
	c, other := r.client(hole.url(r)), r.client(r.url())
	for _, of := range []func(*dlock.Client) acquirer{
		func(c *dlock.Client) acquirer { return c.Mutex("x") },
		func(c *dlock.Client) acquirer { return c.RWMutex("x") },
		func(c *dlock.Client) acquirer { return c.Semaphore("x", 1) },
	} {
		r.must(r.acquire(of(c)).Release(r.ctx))
		h := r.acquire(of(other))
		hole.lead(elsewhere)
		granted := r.acquiring(of(c))
		select {
		case <-granted:
			t.Fatal("two hold one lock")
		case <-time.After(500 * time.Millisecond):
		}
		r.must(h.Release(r.ctx))
		r.must(comes(r, "grant", granted).Release(r.ctx))
	}
}
