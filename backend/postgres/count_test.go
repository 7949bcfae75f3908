package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

func TestThousandsOfGoroutinesShareFewConnections(t *testing.T) {
	const (
		goroutines = 5000
		names      = 1000
	)
	r := newFixture(t)
	a, b := r.client(r.url()), r.client(r.url())
	before := len(r.backends())
	// Another client wants some of the names, too, so that there are waits.
	ctx, stop := context.WithCancel(r.ctx)
	var others sync.WaitGroup
	for i := range 50 {
		m := b.Mutex(fmt.Sprint(i))
		others.Go(func() {
			for m.LockContext(ctx) == nil {
				time.Sleep(time.Millisecond)
				m.Unlock()
			}
		})
	}
	var all sync.WaitGroup
	var done atomic.Int64
	inside := make([]atomic.Int32, names)
	for i := range goroutines {
		m := a.Mutex(fmt.Sprint(i % names))
		all.Go(func() {
			for range 3 {
				if err := m.LockContext(r.ctx); err != nil {
					t.Error(err)
					return
				}
				if n := inside[i%names].Add(1); n != 1 {
					t.Errorf("%d hold a lock", n)
				}
				done.Add(1)
				inside[i%names].Add(-1)
				m.Unlock()
			}
		})
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	highest := 0
	for waiting := true; waiting; {
		select {
		case <-over:
			waiting = false
		case <-time.After(5 * time.Millisecond):
		}
		highest = max(highest, len(r.backends()))
	}
	stop()
	others.Wait()
	if done.Load() != 3*goroutines {
		t.Errorf("%d of %d locks", done.Load(), 3*goroutines)
	}
	if highest > 2*defaultConnections {
		t.Errorf("two clients have %d connections", highest)
	}
	t.Logf("%d connections before, at most %d for two clients", before, highest)
}

func TestThousandLocksOnOneConnection(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	var holds []*dlock.Hold
	for i := range defaultLocks {
		holds = append(holds, r.acquire(c.Mutex(fmt.Sprint(i))))
	}
	type row struct{ locks, backends int }
	var got row
	r.must(r.watch.QueryRow(r.ctx, "SELECT count(*), count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND granted").Scan(&got.locks, &got.backends))
	if got != (row{defaultLocks, 1}) {
		t.Errorf("%d locks are held by %d backends", got.locks, got.backends)
	}
	// One more is one too many.
	ctx, cancel := context.WithTimeout(r.ctx, 300*time.Millisecond)
	defer cancel()
	_, err := c.Mutex("one more").Acquire(ctx)
	if err == nil || !strings.Contains(err.Error(), "WithMaxLocks") {
		t.Errorf("one lock more than the client may hold: %v", err)
	}
	for _, h := range holds {
		r.must(h.Err())
	}
	r.must(holds[0].Release(r.ctx))
	r.must(r.acquire(c.Mutex("one more")).Release(r.ctx))
	for _, h := range holds[1:] {
		r.must(h.Release(r.ctx))
	}
}

// A client that may take more than its part of the server's table of locks says so.
func TestRoomForLocks(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	room := ask[int](r, r.watch, "SELECT current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)")
	notice := func(locks int) (text string) {
		b := r.bare(r.url(), 10*time.Second, WithMaxLocks(locks))
		defer func() { r.must(b.Close(r.ctx)) }()
		held, x := b.acquire(backend.Mutex, "x"), b.acquire(backend.Mutex, "x")
		x.Wait = true
		b.apply([]backend.Op{held, x}, backend.Granted, backend.Queued)
		b.apply([]backend.Op{b.release(held)}, backend.Released)
		for {
			events, err := b.Recv(r.ctx)
			r.must(err)
			for _, e := range events {
				if e.Kind != backend.EventNotice {
					return text // It comes before the end of the wait.
				}
				text += e.Err.Error()
			}
		}
	}
	if text := notice(room/4 + 1); !strings.Contains(text, fmt.Sprint(room)) || strings.Count(text, "max_locks_per_transaction") != 1 {
		t.Errorf("said of too many: %q", text)
	}
	if text := notice(room / 4); text != "" {
		t.Errorf("said of what there is room for: %q", text)
	}
}

// A server whose table of locks is full has no room for anybody. That what is
// held stays so is what matters.
func TestServerWithoutRoomForMoreLocks(t *testing.T) {
	t.Parallel()
	// The table is a few times as large as these say.
	r := newServer(t, "max_locks_per_transaction", "10", "max_connections", "12", "max_wal_senders", "0", "autovacuum", "off")
	c := r.over(open(t, r.url(), WithMaxLocks(1_000_000)))
	var holds []*dlock.Hold
	var err error
	for i := 0; err == nil; i++ {
		if i > 100_000 {
			t.Fatal("the table has no end")
		}
		ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
		var h *dlock.Hold
		h, err = c.Mutex(fmt.Sprint(i)).TryAcquire(ctx)
		cancel()
		if err == nil {
			holds = append(holds, h)
		}
	}
	if sqlState(err) != outOfSharedMemory || !strings.Contains(err.Error(), "max_locks_per_transaction") || errors.Is(err, dlock.ErrLost) {
		t.Fatalf("after %d locks: %v", len(holds), err)
	}
	t.Logf("%d locks, then: %v", len(holds), err)
	for _, h := range holds {
		r.must(h.Err())
	}
	for _, h := range holds[:len(holds)/2] {
		r.must(h.Release(r.ctx))
	}
	r.must(r.acquire(c.Mutex("one more")).Release(r.ctx))
	r.must(r.acquire(c.Semaphore("one more", 2)).Release(r.ctx))
	for _, h := range holds[len(holds)/2:] {
		r.must(h.Err())
		r.must(h.Release(r.ctx))
	}
	if n := ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); n != 1 { // the session's marker
		t.Errorf("%d locks are left", n)
	}
}
