package postgres

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// long is set for runs that take their time.
var long = os.Getenv("DLOCK_LONG") != ""

func TestClientsAreServedInTheOrderOfTheirArrival(t *testing.T) {
	t.Parallel()
	const clients = 8
	holds := []time.Duration{10 * time.Millisecond, 1200 * time.Millisecond} // one that outlasts looks at who is in the way
	if long {
		holds[1] = 3 * time.Second
	}
	r := newFixture(t)
	for _, hold := range holds {
		t.Run(hold.String(), func(t *testing.T) {
			name := hold.String()
			first := r.acquire(r.client(r.url()).Mutex(name))
			var mu sync.Mutex
			var order []int
			var all sync.WaitGroup
			for i := range clients {
				m := r.client(r.url()).Mutex(name)
				all.Go(func() {
					h, err := m.Acquire(r.ctx)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					time.Sleep(hold)
					if err := h.Release(r.ctx); err != nil {
						t.Error(err)
					}
				})
				r.waiters(i + 1)
			}
			time.Sleep(hold)
			r.must(first.Release(r.ctx))
			all.Wait()
			if !slices.IsSorted(order) {
				t.Errorf("served in the order %v", order)
			}
		})
	}
}

// Who has to wait for somebody else's look at the flag of writers is not told that he stands
// in the queue before he does, or it has taken so long that nobody can tell.
func TestWriterAtTheFlagStandsInNoQueue(t *testing.T) {
	t.Parallel()
	muted(t, func(r *fixture, st *Store) {
		for i, url := range []string{"", r.url()} {
			of := st
			if url != "" {
				of = open(r.T, url)
			}
			name := fmt.Sprint(i)
			h := r.acquire(r.client(r.url()).RWMutex(name))
			hand := r.connect(r.url())
			r.exec(hand, "SELECT pg_advisory_lock($1)", nameKey(backend.RWMutex, name).derive("writers"))
			s, err := of.Open(r.ctx, time.Minute, backend.ClientInfo{})
			r.must(err)
			b := &bare{r, s, 0, make(map[uint64]backend.Op)}
			x := b.acquire(backend.RWMutex, name)
			x.Wait = true
			start := time.Now()
			b.apply([]backend.Op{x}, backend.Queued)
			if took := time.Since(start); took < time.Second {
				r.Errorf("it is told after %v", took)
			}
			r.exec(hand, "SELECT pg_advisory_unlock_all()")
			r.must(h.Release(r.ctx))
			events, err := b.Recv(r.ctx)
			r.must(err)
			if len(events) != 1 || events[0].Kind != backend.EventGranted {
				r.Errorf("there are events %+v", events)
			}
			r.must(b.Close(r.ctx))
		}
	})
}

// A statement that waits has a snapshot, and who builds an index waits for it.
func TestIndexIsBuiltBesideWaiters(t *testing.T) {
	r := newFixture(t)
	r.buildsIndex(r.client(r.url()), r.client(r.url()), r.client(r.url()))
}

// Nor does it take longer where the server shows nobody what others do.
func TestIndexIsBuiltWhereActivityIsHidden(t *testing.T) {
	t.Parallel()
	muted(t, func(r *fixture, st *Store) {
		r.buildsIndex(r.over(st), r.over(st), r.over(st))
	})
	t.Run("track_activities=off", func(t *testing.T) {
		t.Parallel()
		r := newFixture(t)
		r.exec(r.watch, "ALTER DATABASE "+r.database+" SET track_activities = off")
		r.buildsIndex(r.client(r.url()), r.client(r.url()), r.client(r.url()))
	})
}

// buildsIndex builds an index while b and c wait for what a holds.
func (r *fixture) buildsIndex(a, b, c *dlock.Client) {
	r.Helper()
	r.exec(r.watch, "CREATE TABLE public.things AS SELECT generate_series(1, 1000) AS n")
	var held []*dlock.Hold
	var second, third []<-chan *dlock.Hold
	// One waits with the gate, and one for the gate.
	for _, lock := range []func(*dlock.Client) acquirer{
		func(c *dlock.Client) acquirer { return c.Mutex("x") },
		func(c *dlock.Client) acquirer { return c.RWMutex("x") },
		func(c *dlock.Client) acquirer { return c.Semaphore("x", 1) },
	} {
		held = append(held, r.acquire(lock(a)))
		waiting := ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
		second = append(second, r.acquiring(lock(b)))
		if len(held) < 3 {
			waiting++
			r.waiters(waiting)
		} else { // The head of a semaphore's queue waits for no lock.
			gate := nameKey(backend.Semaphore, "x").derive("gate")
			r.until("somebody has the gate", func() bool {
				return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::int8 << 32 | objid::int8 = $1", gate) == 1
			})
		}
		third = append(third, r.acquiring(lock(c)))
		r.waiters(waiting + 1)
	}
	start := time.Now()
	builder := r.connect(r.url())
	r.exec(builder, "SET statement_timeout = '30s'")
	r.exec(builder, "CREATE INDEX CONCURRENTLY ON things (n)")
	took := time.Since(start)
	r.Logf("built in %v", took)
	if took > 10*time.Second { // Who does not give way waits for five minutes.
		r.Errorf("an index was built in %v beside waiters", took)
	}
	for i, h := range held {
		r.must(h.Err())
		if len(second[i])+len(third[i]) > 0 {
			r.Error("somebody was granted what is held")
		}
		r.must(h.Release(r.ctx))
		h = comes(r, "grant", second[i])
		r.must(h.Release(r.ctx))
		h = comes(r, "grant", third[i])
		r.must(h.Release(r.ctx))
	}
}

// Ten clients read in overlap, so that the lock is never free.
func TestWriterAmongReaders(t *testing.T) {
	const (
		readers = 10
		hold    = 20 * time.Millisecond
		rounds  = 5
	)
	r := newServer(t, "max_connections", "150")
	writer := r.client(r.url()).RWMutex("x")
	ctx, stop := context.WithCancel(r.ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	reads := make([]int, readers)
	for i := range readers {
		rw := r.client(r.url()).RWMutex("x")
		reading.Go(func() {
			for ctx.Err() == nil {
				if err := rw.RLockContext(ctx); err != nil {
					return
				}
				reads[i]++
				time.Sleep(hold)
				if err := rw.RUnlockContext(r.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var waits []time.Duration
	for range rounds {
		time.Sleep(5 * hold)
		start := time.Now()
		h := r.acquire(writer)
		waits = append(waits, time.Since(start))
		r.must(h.Release(r.ctx))
	}
	slices.Sort(waits)
	t.Logf("the writer waited for %v", waits)
	// The bound is 100 ms on a quiet machine; that this one is busy shows in the
	// worst of them, but not in all.
	if best := waits[0]; best > hold+100*time.Millisecond {
		t.Errorf("among readers of %v a writer waited for %v", hold, waits)
	}
	if worst := waits[rounds-1]; worst > hold+2*time.Second {
		t.Errorf("among readers of %v a writer waited for %v", hold, waits)
	}
	stop()
	reading.Wait()
	for i, n := range reads {
		if n == 0 {
			t.Errorf("reader %d never read", i)
		}
	}
}

// Four clients and two who take the key by hand want one lock all the time.
func TestSharesBesideLocksByHand(t *testing.T) {
	const (
		clients = 4
		byHand  = 2
		grants  = 600
		hold    = time.Millisecond
	)
	r := newFixture(t)
	key := nameKey(backend.Mutex, "x").value
	var mu sync.Mutex
	var shares [clients + byHand]int
	total := 0
	inside := func(i int) bool {
		time.Sleep(hold)
		mu.Lock()
		defer mu.Unlock()
		shares[i]++
		total++
		return total < grants
	}
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range clients {
		m := r.client(r.url(), dlock.WithHandoff(0)).Mutex("x")
		all.Go(func() {
			<-start
			for more := true; more; {
				if err := m.LockContext(r.ctx); err != nil {
					t.Error(err)
					return
				}
				more = inside(i)
				m.Unlock()
			}
		})
	}
	for i := range byHand {
		conn := r.connect(r.url())
		all.Go(func() {
			<-start
			for more := true; more; {
				if _, err := conn.Exec(r.ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
					t.Error(err)
					return
				}
				more = inside(clients + i)
				if _, err := conn.Exec(r.ctx, "SELECT pg_advisory_unlock($1)", key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(start)
	all.Wait()
	t.Logf("of %d grants clients got %v, and by hand %v", total, shares[:clients], shares[clients:])
	for i, n := range shares {
		if n < grants/len(shares)/2 {
			t.Errorf("party %d has %d of %d grants", i, n, total)
		}
	}
}

// More names are contended than the client has wait sessions.
func TestMoreNamesThanWaitSessions(t *testing.T) {
	t.Parallel()
	const names = 20
	r := newFixture(t)
	a := r.client(r.url())
	b := r.over(open(t, r.url(), WithConnections(3)))
	var held []*dlock.Hold
	var granted []<-chan *dlock.Hold
	for i := range names {
		held = append(held, r.acquire(a.Mutex(fmt.Sprint(i))))
		granted = append(granted, r.acquiring(b.Mutex(fmt.Sprint(i))))
	}
	r.until("all wait", func() bool { return b.Stats().Waiting == names })
	for i := range slices.Backward(held) { // those without a wait session first
		r.must(held[i].Release(r.ctx))
		h := comes(r, "grant", granted[i])
		r.must(h.Release(r.ctx))
	}
	if n := len(r.backends()); n > 1+3 {
		t.Errorf("two clients have %d connections", n)
	}
}

// Beside others who stand in the queue all the time, a client with a single wait
// session for several names gets to each of them.
func TestRotation(t *testing.T) {
	const names = 3
	r := newFixture(t)
	b := r.over(open(t, r.url(), WithConnections(2)), dlock.WithTTL(3*time.Second))
	ctx, stop := context.WithCancel(r.ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	for range 2 {
		c := r.client(r.url())
		for i := range names {
			m := c.Mutex(fmt.Sprint(i))
			busy.Go(func() {
				for m.LockContext(ctx) == nil {
					time.Sleep(2 * time.Millisecond)
					m.Unlock()
				}
			})
		}
	}
	for range 2 {
		var granted []<-chan *dlock.Hold
		for i := range names {
			granted = append(granted, r.acquiring(b.Mutex(fmt.Sprint(i))))
		}
		for _, c := range granted {
			h := comes(r, "grant", c)
			r.must(h.Release(r.ctx))
		}
	}
}
