package postgres

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/dlock-go/dlock"
)

// A server that does not answer for a while, but in time, takes nothing away.
func TestShortPauseOfTheServerIsOutlived(t *testing.T) {
	t.Parallel()
	r := newServer(t)
	const ttl = 20 * time.Second
	c := r.client(r.url(), dlock.WithTTL(ttl))
	held := r.acquire(c.Mutex("held"))
	r.must(r.server.Pause())
	granted := r.acquiring(c.Mutex("asked for meanwhile")) // its outcome is unknown for some time
	time.Sleep(ttl * 9 / 20)                               // longer than a batch may take
	r.must(held.Err())
	r.must(r.server.Resume())
	h := comes(r, "grant", granted)
	r.must(h.Err())
	r.must(held.Err())
	r.must(h.Release(r.ctx))
	r.must(held.Release(r.ctx))
}

// One that does not answer for longer than the time to live takes all, and by
// then the holders know.
func TestLongPauseOfTheServerIsALoss(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	r := newServer(t)
	c := r.client(r.url(), dlock.WithTTL(ttl))
	holds := []*dlock.Hold{r.acquire(c.Mutex("x")), r.acquire(reader{c.RWMutex("x")}), r.acquire(c.Semaphore("x", 2))}
	start := time.Now()
	r.must(r.server.Pause())
	for _, h := range holds {
		r.loses(h)
		if late := time.Since(start); late > ttl+time.Second { // patience
			t.Errorf("a loss was told after %v", late)
		}
		if !errors.Is(h.Err(), dlock.ErrLost) {
			t.Error(h.Err())
		}
	}
	r.must(r.server.Resume())
	for _, l := range []acquirer{c.Mutex("x"), c.RWMutex("x"), c.Semaphore("x", 2)} {
		h := r.acquire(l)
		r.must(h.Err())
		r.must(h.Release(r.ctx))
	}
}

func TestRestartOfTheServer(t *testing.T) {
	t.Parallel()
	r := newServer(t)
	a, b := r.client(r.url()), r.client(r.url())
	h := r.acquire(a.Mutex("x"))
	granted := r.acquiring(b.Mutex("x"))
	r.waiters(1)
	before, _ := h.Token()
	start := time.Now()
	r.must(r.server.Restart())
	r.loses(h)
	h = comes(r, "grant", granted)
	t.Logf("granted again %v after the stop", time.Since(start))
	if after, _ := h.Token(); after <= before {
		t.Errorf("token %d came after %d", after, before)
	}
	r.must(h.Release(r.ctx))
}

// A wait session that is lost costs its place, and nothing else.
func TestLostWaitSession(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	a, b := r.client(r.url()), r.client(r.url())
	holders := r.backends()
	for _, lock := range []func(*dlock.Client) acquirer{
		func(c *dlock.Client) acquirer { return c.Mutex("x") },
		func(c *dlock.Client) acquirer { return c.RWMutex("x") },
		func(c *dlock.Client) acquirer { return reader{c.RWMutex("y")} },
	} {
		block := lock(a)
		if l, ok := block.(reader); ok {
			block = l.RWMutex
		}
		h, other := r.acquire(block), r.acquire(b.Mutex("other"))
		granted := r.acquiring(lock(b))
		for range 3 {
			r.waiters(1)
			r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dlock %' AND NOT pid = ANY($1)", holders)
		}
		r.waiters(1)
		r.must(h.Release(r.ctx))
		h = comes(r, "grant", granted)
		r.must(h.Release(r.ctx))
		r.must(other.Err())
		r.must(other.Release(r.ctx))
	}
}

// Some wait sessions keep the mutexes that they have waited for, each for as long as
// it is held and no longer. What they keep is lost with them, and nothing else is.
func TestKeepers(t *testing.T) {
	t.Parallel()
	const names, most = 6, 3
	r := newFixture(t)
	a, b := r.client(r.url(), dlock.WithTTL(2*time.Second)), r.client(r.url(), dlock.WithTTL(2*time.Second))
	holders := r.backends()
	kept := func() map[int64]bool {
		rows, err := r.watch.Query(r.ctx, "SELECT classid::int8 << 32 | objid::int8 FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND NOT pid = ANY($1)", holders)
		r.must(err)
		keys, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		r.must(err)
		set := make(map[int64]bool)
		for _, k := range keys {
			set[k] = true
		}
		return set
	}
	for round := range 3 {
		var of, to []*dlock.Hold
		var granted []<-chan *dlock.Hold
		for i := range names {
			name := string(rune('a' + i))
			of = append(of, r.acquire(a.Mutex(name)))
			granted = append(granted, r.acquiring(b.Mutex(name)))
			r.waiters(i + 1)
		}
		if round > 0 {
			time.Sleep(3 * time.Second) // They wait for longer than the time to live.
		}
		for i, h := range of {
			r.must(h.Release(r.ctx))
			to = append(to, comes(r, "grant", granted[i]))
			deadline, _ := to[i].Deadline()
			if left := time.Until(deadline); left < time.Second/2 || left > 2*time.Second {
				t.Errorf("a hold begins %v before its deadline", left)
			}
		}
		var mine []int
		r.until("the gates are given back", func() bool {
			set := kept()
			mine = mine[:0]
			for i := range names {
				if set[nameKey(1, string(rune('a'+i))).value] {
					mine = append(mine, i)
				}
			}
			return len(set) == len(mine)
		})
		if len(mine) == 0 || len(mine) > most {
			t.Errorf("%d are kept, want 1 to %d", len(mine), most)
		}
		if round == 2 {
			r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dlock %' AND NOT pid = ANY($1)", holders)
			for _, i := range mine {
				r.loses(to[i])
			}
		} else if round == 1 {
			time.Sleep(3 * time.Second)
			mine = nil
		}
		for i, h := range to {
			if !slices.Contains(mine, i) || round == 0 {
				r.must(h.Err())
				r.must(h.Release(r.ctx))
			}
		}
		r.until("nothing is left", func() bool { return len(kept()) == 0 })
	}
}

// A wait session holds what it has to keep from foreign holders. When it is lost, so is
// that, and no more.
func TestLostKeeper(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	holder := r.backends()
	other := r.acquire(c.Mutex("other"))
	key := nameKey(1, "x").value
	hands := r.connect(r.url())
	stop := make(chan struct{})
	done := make(chan struct{})
	// Two by hand are always there, so that behind the gate somebody is faster.
	go func() {
		defer close(done)
		second := r.connect(r.url())
		for turn := 0; ; turn++ {
			select {
			case <-stop:
				_, _ = hands.Exec(r.ctx, "SELECT pg_advisory_unlock_all()")
				_, _ = second.Exec(r.ctx, "SELECT pg_advisory_unlock_all()")
				return
			default:
			}
			_, _ = hands.Exec(r.ctx, "SELECT pg_advisory_lock($1)", key)
			waiting := make(chan struct{})
			go func() { defer close(waiting); _, _ = second.Exec(r.ctx, "SELECT pg_advisory_lock($1)", key) }()
			time.Sleep(5 * time.Millisecond)
			_, _ = hands.Exec(r.ctx, "SELECT pg_advisory_unlock($1)", key)
			<-waiting
			hands, second = second, hands
			_, _ = second.Exec(r.ctx, "SELECT 1")
			_, _ = hands.Exec(r.ctx, "SELECT pg_advisory_unlock($1)", key)
		}
	}()
	var kept *dlock.Hold
	r.until("a wait session keeps the lock", func() bool {
		h := r.acquire(c.Mutex("x"))
		if ask[bool](r, r.watch, "SELECT EXISTS(SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::int8 << 32 | objid::int8 = $1 AND NOT pid = ANY($2))", key, holder) {
			kept = h
			return true
		}
		r.must(h.Release(r.ctx))
		return false
	})
	close(stop)
	r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::int8 << 32 | objid::int8 = $1", key)
	r.loses(kept)
	<-done
	r.must(other.Err())
	r.must(r.acquire(c.Mutex("x")).Release(r.ctx))
	r.must(other.Release(r.ctx))
}

func TestNothingIsLeftOfAClient(t *testing.T) {
	r := newFixture(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, end := range []func(){func() {}, func() {
		r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dlock %'")
	}} {
		a, err := dlock.Open(r.ctx, r.url())
		r.must(err)
		b, err := dlock.Open(r.ctx, r.url())
		r.must(err)
		var held []*dlock.Hold // What is garbage is released.
		for _, name := range []string{"a", "b"} {
			waited := r.acquiring(b.Semaphore(name, 1))
			held = append(held, r.acquire(a.Mutex(name)), comes(r, "grant", waited))
			go func() { _, _ = a.Semaphore(name, 1).Acquire(r.ctx) }()
		}
		r.until("two wait", func() bool { return a.Stats().Waiting == 2 })
		runtime.KeepAlive(held)
		end()
		r.must(a.Close(r.ctx))
		r.must(b.Close(r.ctx))
	}
	r.until("no connection is left", func() bool { return len(r.backends()) == 0 })
}
