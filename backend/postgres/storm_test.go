package postgres

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
)

var stormTime = flag.Duration("storm.time", 3*time.Second, "how long a storm lasts, at least")

// A tally counts who is inside, as package sync's own tests do: a reader or a
// ticket is 1, a writer more than all of them.
type tally struct {
	limit int

	mu     sync.Mutex
	inside int
	grants int
}

const writer = 10_000

// stormNames is how many names the locks of a storm have.
const stormNames = 2

// enough is how many grants of each lock a storm has to see.
const enough = 30

func (y *tally) enter(n int) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.grants++
	if y.inside += n; y.inside > max(n, y.limit) || y.inside > writer {
		return fmt.Errorf("%d are inside", y.inside)
	}
	return nil
}

func (y *tally) count() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.grants
}

func (y *tally) leave(n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.inside -= n
}

// A storm ends statements of all connections, and connections that wait, at
// random. That is no reason to lose a lock or to let in one more.
func TestStormOfCancellations(t *testing.T) {
	var mutexes []int64
	for i := range stormNames {
		k := nameKey(backend.Mutex, fmt.Sprint("name ", i))
		mutexes = append(mutexes, k.value, k.derive("gate"))
	}
	t.Run("all", func(t *testing.T) {
		storm(t, func(r *fixture, rnd *rand.Rand, holders []int32) {
			if rnd.IntN(4) > 0 {
				pids := r.backends()
				r.exec(r.watch, "SELECT pg_cancel_backend($1)", pids[rnd.IntN(len(pids))])
			} else {
				// One that waits holds nothing for anybody, unless it is for a mutex, which it may
				// keep when the signal comes.
				r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid::int8 << 32 | objid::int8 <> ALL($1) ORDER BY random() LIMIT 1", mutexes)
			}
			time.Sleep(time.Duration(rnd.IntN(4000)) * time.Microsecond)
		})
	})
	t.Run("holders", func(t *testing.T) {
		storm(t, func(r *fixture, rnd *rand.Rand, holders []int32) {
			r.exec(r.watch, "SELECT pg_cancel_backend($1)", holders[rnd.IntN(len(holders))])
		})
	})
}

func storm(t *testing.T, strike func(r *fixture, rnd *rand.Rand, holders []int32)) {
	rnd := backendtest.Rand(t)
	r := newFixture(t)
	r.ctx = t.Context() // a long one outlasts patience
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Whoever was opened first has the first connection.
	var clients []*dlock.Client
	var holders []int32
	for range 2 {
		clients = append(clients, r.client(r.url(), dlock.WithHandoff(0)))
		holders = r.backends()
	}
	var running sync.WaitGroup
	work := func(y *tally, n int, acquire func(*dlock.Client) acquirer) {
		for _, c := range clients {
			for range 2 {
				rnd := rand.New(rand.NewPCG(rnd.Uint64(), 0))
				running.Go(func() {
					for ctx.Err() == nil {
						waiting, stop := context.WithTimeout(ctx, time.Duration(rnd.IntN(20))*time.Millisecond)
						h, err := acquire(c).Acquire(waiting)
						stop()
						if err != nil {
							// The end of a round of the holder session fails what it asked for.
							if !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && sqlState(err) != "57014" {
								t.Error(err)
							}
							continue
						}
						if err := y.enter(n); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
						if err := h.Err(); err != nil {
							t.Error(err)
						}
						y.leave(n)
						if err := h.Release(r.ctx); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
	}
	tallies := make(map[string]*tally)
	for i := range stormNames {
		name := fmt.Sprint("name ", i)
		mutex, rw, tickets := &tally{}, &tally{limit: writer - 1}, &tally{limit: 2}
		tallies["mutex "+name], tallies["rwmutex "+name], tallies["semaphore "+name] = mutex, rw, tickets
		work(mutex, writer, func(c *dlock.Client) acquirer { return c.Mutex(name) })
		work(rw, writer, func(c *dlock.Client) acquirer { return c.RWMutex(name) })
		work(rw, 1, func(c *dlock.Client) acquirer { return reader{c.RWMutex(name)} })
		work(tickets, 1, func(c *dlock.Client) acquirer { return c.Semaphore(name, 2) })
	}
	faults := 0
	for start := time.Now(); ; faults++ {
		strike(r, rnd, holders)
		since := time.Since(start)
		if since > *stormTime && !slices.ContainsFunc(slices.Collect(maps.Values(tallies)), func(y *tally) bool { return y.count() < enough }) {
			break
		}
		if since > *stormTime+patience {
			t.Errorf("too little was granted in %v", since)
			break
		}
	}
	cancel()
	running.Wait()
	t.Logf("%d faults", faults)
	for name, y := range tallies {
		t.Logf("%s: %d grants", name, y.grants)
	}
	r.until("nothing is held", func() bool {
		return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
	})
	for _, pid := range holders {
		if !ask[bool](r, r.watch, "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1", pid) {
			t.Error("a session with locks has ended")
		}
	}
}
