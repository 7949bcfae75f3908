package postgres

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
)

func TestCyclesUseOneConnection(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	before := r.backends()
	if len(before) != 1 {
		t.Fatalf("a client that does nothing has %d connections", len(before))
	}
	for range 30 {
		r.must(r.acquire(c.Mutex("x")).Release(r.ctx))
		r.must(r.acquire(reader{c.RWMutex("x")}).Release(r.ctx))
		r.must(r.acquire(c.Semaphore("x", 2)).Release(r.ctx))
	}
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			m := c.Mutex(fmt.Sprint("name ", i))
			for range 1000 {
				if h, err := m.Acquire(r.ctx); err != nil {
					t.Error(err)
				} else if err := h.Release(r.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if after := r.backends(); !slices.Equal(after, before) {
		t.Errorf("backends %v have become %v", before, after)
	}
	r.until("nothing is held", func() bool {
		return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
	})
}

func TestBrokenConnectionLosesItsLocksAlone(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	a := r.client(r.url())
	victim := r.backends()
	b := r.client(r.url())
	var lost []*dlock.Hold
	for _, l := range []acquirer{a.Mutex("a"), reader{a.RWMutex("both")}, a.Semaphore("both", 2)} {
		lost = append(lost, r.acquire(l))
	}
	var kept []*dlock.Hold
	for _, l := range []acquirer{b.Mutex("b"), reader{b.RWMutex("both")}, b.Semaphore("both", 2)} {
		kept = append(kept, r.acquire(l))
	}
	start := time.Now()
	r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM unnest($1::int4[]) pid", victim)
	for _, h := range lost {
		r.loses(h)
	}
	if late := time.Since(start); late > 2*time.Second {
		t.Errorf("a loss was told after %v", late)
	}
	r.available(b.Mutex("a"), true)
	for range 2 { // by new sessions
		h := r.acquire(a.Mutex("a"))
		r.must(h.Err())
		r.must(h.Release(r.ctx))
	}
	for _, h := range kept {
		r.must(h.Err())
		r.must(h.Release(r.ctx))
	}
}
