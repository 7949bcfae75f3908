package postgres

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// An old is a client whose cost is looked at as it ages. It implements backend.Backend.
type old struct {
	*Store
	*fixture
	client *dlock.Client

	mu      sync.Mutex
	session *session // the last one

	connections, writes, sent, prepared atomic.Int64
}

// Name the methods that both have.
func (o *old) String() string { return o.Store.String() }

func (o *old) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := o.Store.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.session = s.(*session)
	return s, nil
}

// A counted is a connection of an old.
type counted struct {
	net.Conn
	o    *old
	once sync.Once
}

func (c *counted) Write(b []byte) (int, error) {
	c.o.writes.Add(1)
	c.o.sent.Add(int64(len(b)))
	c.o.prepared.Add(int64(bytes.Count(b, []byte("/* dlock "))))
	return c.Conn.Write(b)
}

func (c *counted) Close() error {
	c.once.Do(func() { c.o.connections.Add(-1) })
	return c.Conn.Close()
}

// old opens a client that is watched.
func (r *fixture) old(ttl time.Duration, options ...Option) *old {
	r.Helper()
	o := &old{fixture: r}
	config, err := pgx.ParseConfig(r.url())
	r.must(err)
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		o.connections.Add(1)
		return &counted{Conn: c, o: o}, nil
	}
	o.Store, err = New(config, append([]Option{apart()}, options...)...)
	r.must(err)
	o.client = r.over(o, dlock.WithTTL(ttl), dlock.WithHandoff(0))
	r.must(r.acquire(o.client.Mutex("the first")).Release(r.ctx))
	return o
}

// A cost is what a client has and needs when nobody uses it.
type cost struct {
	kept        int // entries of maps and slices
	connections int64
	goroutines  int
	prepared    int64 // statements while it works
	writes      float64
	bytes       float64 // a pair
}

// rests returns how much a session keeps that is for somebody.
func (s *session) rests() (kept, waiters, goroutines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept = len(s.locks) + len(s.keys) + len(s.claims) + len(s.holder.pending) + len(s.holder.extras) + len(s.holder.later) + len(s.waits.unmet) + len(s.holder.broken) + len(s.waits.leftovers) + s.active + s.holder.scrubs
	for _, wt := range s.waits.all {
		if wt.step != idle {
			kept++
		}
	}
	return kept, len(s.waits.all), s.running
}

// cost measures a client that is at rest, or fails when it does not come to rest.
func (o *old) cost() (c cost) {
	o.Helper()
	m := o.client.Mutex("the price of a pair")
	o.must(m.LockContext(o.ctx)) // There may be no session.
	o.must(m.UnlockContext(o.ctx))
	o.until("the client keeps nothing", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.session.mu.Lock()
		dead := o.session.err != nil
		o.session.mu.Unlock()
		kept, waiters, goroutines := o.session.rests()
		c = cost{kept: kept, connections: o.connections.Load(), goroutines: goroutines}
		return !dead && kept == 0 && int(c.connections) == waiters+1
	})
	o.session.mu.Lock()
	c.kept = len(o.session.waits.foreign)
	o.session.mu.Unlock()
	// Heartbeats come in between: the least counts.
	const pairs = 20
	for i := range 5 {
		writes, sent, prepared := o.writes.Load(), o.sent.Load(), o.prepared.Load()
		for range pairs {
			o.must(m.LockContext(o.ctx))
			o.must(m.UnlockContext(o.ctx))
		}
		if w := float64(o.writes.Load()-writes) / pairs; i == 0 || w < c.writes {
			c.writes, c.bytes, c.prepared = w, float64(o.sent.Load()-sent)/pairs, o.prepared.Load()-prepared
		}
	}
	return c
}

// ages runs cycles, and fails when the client costs more after the last tenth of
// them than after the first.
func (o *old) ages(cycles int, cycle func(i int)) {
	o.Helper()
	var first cost
	for i := range cycles {
		cycle(i)
		if i == cycles/10 {
			first = o.cost()
		}
	}
	last := o.cost()
	o.Logf("after %d cycles %+v, after %d %+v", cycles/10, first, cycles, last)
	switch {
	case last.kept > first.kept:
		o.Errorf("it keeps %d entries, at first %d", last.kept, first.kept)
	case last.connections > defaultConnections, last.goroutines > defaultConnections:
		o.Errorf("it has %d connections and %d goroutines", last.connections, last.goroutines)
	case last.prepared > 0:
		o.Errorf("it prepares statements at work: %d", last.prepared)
	case last.writes > 1.2*first.writes, last.bytes > 1.2*first.bytes:
		o.Errorf("a pair costs %.1f writes of %.0f bytes, at first %.1f of %.0f", last.writes, last.bytes, first.writes, first.bytes)
	}
}

// waiting has a client wait for a lock until that is known at the server.
func (o *old) waiting(l acquirer, ctx context.Context) <-chan error {
	done := make(chan error, 1)
	o.until("nobody waits", func() bool { return o.client.Stats().Waiting == 0 })
	go func() {
		h, err := l.Acquire(ctx)
		if err == nil {
			err = h.Release(o.ctx)
		}
		done <- err
	}()
	o.until("it waits", func() bool { return o.client.Stats().Waiting > 0 })
	return done
}

// A client that has lived for long costs what it did at first, whatever has happened.
func TestAge(t *testing.T) {
	t.Parallel()
	cycles := 1000
	if long {
		cycles = 10_000
	}
	r := newServer(t, "max_connections", "200")
	for name, run := range map[string]func(r *fixture){
		"names that come once": func(r *fixture) {
			o := r.old(10 * time.Second)
			o.ages(cycles, func(i int) {
				name := fmt.Sprint("name ", i)
				for _, l := range []acquirer{o.client.Mutex(name), reader{o.client.RWMutex(name)}, o.client.Semaphore(name, 3)} {
					r.must(r.acquire(l).Release(r.ctx))
				}
			})
		},
		"contention": func(r *fixture) {
			o, other := r.old(10*time.Second), r.old(10*time.Second)
			other.Store.config.keys = o.Store.config.keys
			o.ages(cycles, func(i int) {
				name := fmt.Sprint("name ", i%5)
				of := func(c *dlock.Client) acquirer {
					return []acquirer{c.Mutex(name), c.RWMutex(name), c.Semaphore(name, 1), c.Mutex(name)}[i%4]
				}
				h := r.acquire(of(other.client))
				done := o.waiting(of(o.client), r.ctx)
				if i%8 < 4 {
					r.until("it stands in a queue", func() bool { return o.stood() })
				}
				r.must(h.Release(r.ctx))
				r.must(comes(r, "grant", done))
			})
		},
		"waits that are cancelled": func(r *fixture) {
			o, other := r.old(10*time.Second), r.old(10*time.Second)
			other.Store.config.keys = o.Store.config.keys
			held := []*dlock.Hold{r.acquire(other.client.Mutex("x")), r.acquire(other.client.RWMutex("x")), r.acquire(other.client.Semaphore("x", 1))}
			of := []acquirer{o.client.Mutex("x"), o.client.RWMutex("x"), reader{o.client.RWMutex("x")}, o.client.Semaphore("x", 1)}
			o.ages(cycles, func(i int) {
				ctx, cancel := context.WithCancel(r.ctx)
				done := o.waiting(of[i%len(of)], ctx)
				if i%8 < 4 {
					r.until("it stands in a queue", func() bool { return o.stood() })
				}
				cancel()
				if err := comes(r, "end of a wait", done); err == nil {
					r.Fatal("a lock that is held is granted")
				}
			})
			for _, h := range held {
				r.must(h.Release(r.ctx))
			}
		},
		"limits that change": func(r *fixture) {
			o := r.old(10 * time.Second)
			o.ages(cycles, func(i int) {
				r.must(r.acquire(o.client.Semaphore("x", 1+i%7)).Release(r.ctx))
			})
		},
		"sessions that are killed": func(r *fixture) {
			o := r.old(10 * time.Second)
			watch := r.connect(r.url())
			o.ages(cycles/10, func(int) {
				h := r.acquire(o.client.Mutex("x"))
				o.mu.Lock()
				pid := o.session.holder.conn.PID
				o.mu.Unlock()
				r.exec(watch, "SELECT pg_terminate_backend($1)", pid)
				r.loses(h)
			})
		},
		"idleness": func(r *fixture) {
			o := r.old(idleTTL)
			o.ages(cycles/20, func(i int) {
				time.Sleep(idleTTL + time.Duration(rand.IntN(int(idleTTL/2))))
				if h, err := o.client.Mutex(fmt.Sprint("name ", i)).Acquire(r.ctx); err != nil {
					r.Error(err)
				} else if err := h.Release(r.ctx); err != nil && !strings.Contains(err.Error(), "lost") {
					r.Error(err) // On a busy machine it may take longer than that.
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			t.Cleanup(cancel)
			run(&fixture{T: t, server: r.server, ctx: ctx})
		})
	}
}

// idleTTL is as short as a client may have it.
const idleTTL = 100 * time.Millisecond

// stood reports whether what the client waits for is known to stand in a queue, or to do
// without.
func (o *old) stood() bool {
	o.mu.Lock()
	s := o.session
	o.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.claims {
		if c.state == queued && c.lock.waits[c.mode].place != coming {
			return true
		}
	}
	return false
}
