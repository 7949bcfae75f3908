package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/coordinator"
)

// A fixture is a coordinator on a store that can be made to fail, in fake time.
type fixture struct {
	*testing.T
	*coordinator.Coordinator
	store  *memory.Store
	faults *backendtest.FaultyBackend

	mu     sync.Mutex
	losses []error

	late atomic.Int32 // releases
}

const ttl = 9 * time.Second

// inBubble runs test in fake time. A goroutine that is left behind fails it.
func inBubble(t *testing.T, plan backendtest.Plan, test func(*fixture)) {
	synctest.Test(t, func(t *testing.T) {
		r := &fixture{T: t, store: memory.New()}
		r.faults = backendtest.Faulty(r.store, plan)
		r.Coordinator = r.client()
		test(r)
		if err := r.Close(context.Background()); err != nil {
			t.Error("close:", err)
		}
		r.faults.Bury()
	})
}

func (r *fixture) client() *coordinator.Coordinator {
	return coordinator.New(coordinator.Config{
		Backend: r.faults,
		TTL:     ttl,
		Handoff: 5 * time.Millisecond,
		Logger:  slog.New(slog.DiscardHandler),
		OnLoss: func(_ *coordinator.Claim, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.losses = append(r.losses, err)
		},
		OnLate: func(*coordinator.Claim) { r.late.Add(1) },
	})
}

func (r *fixture) lost() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.losses)
}

func mutex(try bool) *coordinator.Claim {
	return coordinator.NewClaim(backend.Mutex, "x", 1, backend.Exclusive, try)
}

func (r *fixture) acquire() *coordinator.Claim {
	r.Helper()
	c := mutex(false)
	if err := r.Acquire(context.Background(), c); err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *fixture) release(c *coordinator.Claim) {
	r.Helper()
	if err := r.Release(context.Background(), c); err != nil {
		r.Fatal(err)
	}
}

// free fails unless a stranger can have the lock at this moment.
func (r *fixture) free(want bool) {
	r.Helper()
	synctest.Wait()
	s, err := r.store.Open(context.Background(), ttl, backend.ClientInfo{})
	if err != nil {
		r.Fatal(err)
	}
	defer s.Close(context.Background())
	op := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Owner: 1, Name: "x"}
	res, _, err := s.Apply(context.Background(), []backend.Op{op})
	if err != nil || (res[0].State == backend.Granted) != want {
		r.Errorf("a stranger finds %v (%v), want free: %v", res, err, want)
	}
}

func TestStoreOutOfReach(t *testing.T) {
	inBubble(t, backendtest.Plan{}, func(r *fixture) {
		r.faults.FailNext(backendtest.FailOpen, 5)
		if err := r.Open(context.Background()); !errors.Is(err, backendtest.ErrInjected) {
			t.Errorf("Open: %v", err)
		}
		if err := r.Acquire(context.Background(), mutex(true)); !errors.Is(err, backendtest.ErrInjected) {
			t.Errorf("a try: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := r.Acquire(ctx, mutex(false)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backendtest.ErrInjected) {
			t.Errorf("a wait that ends does not tell that the store is out of reach: %v", err)
		}
		r.release(r.acquire()) // Waits for as long as it takes.
		if n := r.faults.Fired(backendtest.FailOpen); n != 5 {
			t.Errorf("%d attempts failed", n)
		}
	})
}

// Nobody waits: nobody tries to reach the store.
func TestIdleClientLetsStoreAlone(t *testing.T) {
	inBubble(t, backendtest.Plan{}, func(r *fixture) {
		r.faults.FailNext(backendtest.FailOpen, 1000)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := r.Acquire(ctx, mutex(false)); err == nil {
			t.Error("acquired")
		}
		time.Sleep(time.Hour)
		if n := r.faults.Fired(backendtest.FailOpen); n > 3 {
			t.Errorf("%d attempts to open a session that nobody wants", n)
		}
		r.faults.Heal()
	})
}

func TestSessionLost(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.FailBefore, backendtest.FailAfter, backendtest.FailRecv} {
		inBubble(t, backendtest.Plan{Linger: time.Minute}, func(r *fixture) {
			c := r.acquire()
			waiter := mutex(false)
			granted := make(chan error, 1)
			go func() { granted <- r.Acquire(context.Background(), waiter) }()
			synctest.Wait()
			if c.Ended() != nil {
				t.Fatal("lost too early")
			}
			if fault == backendtest.FailRecv {
				r.faults.Cut()
			} else {
				r.faults.FailNext(fault, 1) // The next heartbeat.
				time.Sleep(ttl / 3)
			}
			synctest.Wait()
			if err := c.Ended(); !errors.Is(err, coordinator.ErrLost) || !errors.Is(err, backendtest.ErrInjected) {
				t.Errorf("fault %d: hold has %v", fault, err)
			}
			if r.lost() != 1 {
				t.Errorf("fault %d: %d losses told", fault, r.lost())
			}
			// The store still keeps the lock for the dead session.
			select {
			case <-granted:
				t.Errorf("fault %d: granted while the store keeps the lock for another", fault)
			default:
			}
			if err := <-granted; err != nil {
				t.Error(err)
			}
			r.release(waiter)
			if err := r.Release(context.Background(), c); !errors.Is(err, coordinator.ErrLost) {
				t.Errorf("release after the loss: %v", err)
			}
			r.free(true)
		})
	}
}

// An answer that never came is asked for again, whether the store had acted or
// not.
func TestUnknownOutcome(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.UnknownBefore, backendtest.UnknownAfter} {
		inBubble(t, backendtest.Plan{}, func(r *fixture) {
			for range 3 {
				r.faults.FailNextOf(fault, 2, backendtest.Acquires)
				c := r.acquire()
				r.free(false)
				r.faults.FailNextOf(fault, 2, backendtest.Releases)
				r.release(c)
				r.free(true)
			}
			// Given up while it is not known whether the store has granted.
			r.faults.FailNextOf(fault, 3, backendtest.Acquires)
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if err := r.Acquire(ctx, mutex(false)); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			time.Sleep(ttl)
			r.free(true)
		})
	}
}

func TestSilentStore(t *testing.T) {
	const hang = 8 * time.Second
	inBubble(t, backendtest.Plan{Delay: hang}, func(r *fixture) {
		start := time.Now()
		since := func() time.Duration { return time.Since(start) }
		r.faults.FailNextOf(backendtest.DelayBefore, 1, backendtest.Acquires)
		if err := r.Acquire(context.Background(), mutex(true)); err == nil || errors.Is(err, coordinator.ErrBusy) {
			t.Errorf("a try of a silent store: %v", err)
		}
		if d := since(); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("a try waited %v", d)
		}
		time.Sleep(hang)
		r.free(true) // What the store granted late was given back.

		c := r.acquire()
		start = time.Now()
		r.faults.FailNextOf(backendtest.DelayBefore, 1, backendtest.Releases)
		r.release(c)
		if d := since(); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("a release waited %v", d)
		}
		if n := r.late.Load(); n != 1 {
			t.Errorf("%d releases were late, want 1", n)
		}
		r.free(false)
		time.Sleep(hang)
		r.free(true)
	})
}

// A store that does not answer a batch within the TTL is given up.
func TestHangingStore(t *testing.T) {
	inBubble(t, backendtest.Plan{Delay: time.Hour, Linger: time.Second}, func(r *fixture) {
		c := r.acquire()
		r.faults.FailNext(backendtest.DelayBefore, 1)
		time.Sleep(ttl/3 + ttl + ttl/4)
		synctest.Wait()
		if err := c.Ended(); !errors.Is(err, coordinator.ErrLost) {
			t.Errorf("the session has not answered for a TTL, and the hold has %v", err)
		}
		r.release(r.acquire())
	})
}

func TestLease(t *testing.T) {
	inBubble(t, backendtest.Plan{Lease: ttl, Linger: time.Second}, func(r *fixture) {
		c := r.acquire()
		// Renewed for as long as the process lives.
		time.Sleep(10 * ttl)
		if c.Ended() != nil {
			t.Fatal("lost although the store answers")
		}
		// One heartbeat without an answer is no loss.
		r.faults.FailNext(backendtest.UnknownBefore, 1)
		time.Sleep(2 * ttl)
		if c.Ended() != nil {
			t.Fatal("lost by one failed heartbeat")
		}
		// No answer any more: lost by the deadline, and not before.
		r.faults.FailNext(backendtest.UnknownBefore, 1<<30)
		time.Sleep(ttl / 2)
		if c.Ended() != nil {
			t.Fatal("lost with validity left")
		}
		var told error
		c.Notify(func(err error) { told = err })
		time.Sleep(ttl / 2)
		synctest.Wait()
		if !errors.Is(c.Ended(), coordinator.ErrLost) || !errors.Is(told, coordinator.ErrLost) || r.lost() != 1 {
			t.Errorf("past the deadline: %v, told %v, %d losses", c.Ended(), told, r.lost())
		}
		r.faults.Heal()
		r.release(r.acquire())
	})
}

// Dropped and doubled events delay a grant, and no more.
func TestEvents(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.DropEvents, backendtest.DoubleEvents} {
		inBubble(t, backendtest.Plan{Rates: map[backendtest.Fault]float64{fault: 1}}, func(r *fixture) {
			other := r.client()
			for range 20 {
				c := r.acquire()
				granted := make(chan *coordinator.Claim)
				go func() {
					c := mutex(false)
					if err := other.Acquire(context.Background(), c); err != nil {
						t.Error(err)
					}
					granted <- c
				}()
				synctest.Wait()
				r.release(c)
				if err := other.Release(context.Background(), <-granted); err != nil {
					t.Error(err)
				}
			}
			r.free(true)
			if err := other.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A session that is given up is closed after its holders were told: closing it
// frees what they hold.
func TestLossBeforeClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var claims []*coordinator.Claim
		store := &closing{Backend: memory.New(), close: func() {
			for i, c := range claims {
				if c.Ended() == nil {
					t.Errorf("the session is closed, and holder %d does not know that its lock is lost", i)
				}
			}
		}}
		c := coordinator.New(coordinator.Config{
			Backend: store,
			TTL:     ttl,
			Logger:  slog.New(slog.DiscardHandler),
			OnLoss:  func(*coordinator.Claim, error) { time.Sleep(time.Second) }, // The others have to wait.
		})
		for _, name := range []string{"x", "y", "z"} {
			claim := coordinator.NewClaim(backend.Mutex, name, 1, backend.Exclusive, false)
			if err := c.Acquire(context.Background(), claim); err != nil {
				t.Fatal(err)
			}
			claims = append(claims, claim)
		}
		store.dead.Store(true)
		time.Sleep(ttl)
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if !store.closed.Load() {
			t.Error("the session was not closed")
		}
	})
}

// A lease that is told with a grant is watched, though no answer lists it: its
// holders hear of its end without having asked.
func TestLeaseOfAGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := backendtest.Faulty(memory.New(), backendtest.Plan{Lease: ttl, Linger: time.Second, Delay: 2 * ttl})
		lost := make(chan error, 1)
		c := coordinator.New(coordinator.Config{
			Backend: &terse{faults},
			TTL:     3 * ttl,
			Logger:  slog.New(slog.DiscardHandler),
			OnLoss:  func(_ *coordinator.Claim, err error) { lost <- err },
		})
		if err := c.Acquire(context.Background(), mutex(false)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		faults.FailNext(backendtest.DelayBefore, 1) // the next heartbeat
		// The session's own end comes at the same moment, and either may be first.
		if err := <-lost; !errors.Is(err, coordinator.ErrLost) {
			t.Error(err)
		}
		if d := time.Since(start); d != ttl {
			t.Errorf("lost after %v, by a lease of %v", d, ttl)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		faults.Bury()
	})
}

// A terse store tells of leases only in grants.
type terse struct{ backend.Backend }

func (b *terse) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := b.Backend.Open(ctx, ttl, who)
	return &terseSession{s}, err
}

type terseSession struct{ backend.Session }

func (s *terseSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	results, _, err := s.Session.Apply(ctx, ops)
	return results, nil, err
}

// A closing store has sessions that die when it is told so, and tells when they
// are closed.
type closing struct {
	backend.Backend
	dead, closed atomic.Bool
	close        func()
}

func (b *closing) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := b.Backend.Open(ctx, ttl, who)
	return &closingSession{s, b}, err
}

type closingSession struct {
	backend.Session
	store *closing
}

func (s *closingSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	if s.store.dead.Load() {
		return nil, nil, backendtest.ErrInjected
	}
	return s.Session.Apply(ctx, ops)
}

func (s *closingSession) Close(ctx context.Context) error {
	s.store.close()
	s.store.closed.Store(true)
	return s.Session.Close(ctx)
}

func TestLoseOne(t *testing.T) {
	inBubble(t, backendtest.Plan{}, func(r *fixture) {
		c := r.acquire()
		y := coordinator.NewClaim(backend.Mutex, "y", 1, backend.Exclusive, false)
		if err := r.Acquire(context.Background(), y); err != nil {
			t.Fatal(err)
		}
		if n := r.faults.Lose("x"); n != 1 {
			t.Fatalf("%d lost", n)
		}
		synctest.Wait()
		if !errors.Is(c.Ended(), coordinator.ErrLost) || y.Ended() != nil || r.lost() != 1 {
			t.Errorf("x: %v, y: %v, %d losses", c.Ended(), y.Ended(), r.lost())
		}
		r.release(r.acquire())
		r.release(y)
	})
}

func TestClose(t *testing.T) {
	inBubble(t, backendtest.Plan{}, func(r *fixture) {
		c := r.acquire()
		waiter := make(chan error, 1)
		go func() { waiter <- r.Acquire(context.Background(), mutex(false)) }()
		synctest.Wait()
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-waiter; !errors.Is(err, coordinator.ErrClosed) {
			t.Errorf("waiter: %v", err)
		}
		if err := c.Ended(); !errors.Is(err, coordinator.ErrReleased) || errors.Is(err, coordinator.ErrLost) {
			t.Errorf("holder: %v", err)
		}
		if r.lost() != 0 {
			t.Error("a loss was told")
		}
		if err := r.Acquire(context.Background(), mutex(false)); !errors.Is(err, coordinator.ErrClosed) {
			t.Errorf("acquire after close: %v", err)
		}
		if err := r.Open(context.Background()); !errors.Is(err, coordinator.ErrClosed) {
			t.Errorf("open after close: %v", err)
		}
		if err := r.Release(context.Background(), c); !errors.Is(err, coordinator.ErrReleased) {
			t.Errorf("release after close: %v", err)
		}
		r.free(true)
	})
}

// Close does not wait for a store longer than its context.
func TestCloseCutShort(t *testing.T) {
	inBubble(t, backendtest.Plan{Delay: time.Hour}, func(r *fixture) {
		r.acquire()
		r.faults.FailNextOf(backendtest.DelayBefore, 1, backendtest.Releases)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("Close took %v", d)
		}
	})
	inBubble(t, backendtest.Plan{}, func(r *fixture) {
		r.faults.FailNext(backendtest.FailOpen, 1<<30)
		waiter := make(chan error, 1)
		go func() { waiter <- r.Acquire(context.Background(), mutex(false)) }()
		synctest.Wait()
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-waiter; !errors.Is(err, coordinator.ErrClosed) {
			t.Error(err)
		}
	})
}

// Cancellations race with grants, sessions die, answers get lost: in the end
// everybody has been served or has given up, never two at a time.
func TestStorm(t *testing.T) {
	inBubble(t, backendtest.Plan{
		Linger: 50 * time.Millisecond,
		Delay:  3 * time.Millisecond,
		Rates: map[backendtest.Fault]float64{
			backendtest.FailOpen:      0.2,
			backendtest.FailBefore:    0.002,
			backendtest.FailAfter:     0.002,
			backendtest.UnknownBefore: 0.05,
			backendtest.UnknownAfter:  0.05,
			backendtest.DelayBefore:   0.05,
			backendtest.DelayAfter:    0.05,
			backendtest.DropEvents:    0.1,
			backendtest.DoubleEvents:  0.1,
		},
	}, func(r *fixture) {
		clients := []*coordinator.Coordinator{r.Coordinator, r.client(), r.client()}
		var inside, served int
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				client := clients[i%len(clients)]
				for j := range 20 {
					c := mutex(j%7 == 3)
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i*j%40+1)*time.Millisecond)
					err := client.Acquire(ctx, c)
					cancel()
					if err != nil {
						continue
					}
					mu.Lock()
					if c.Ended() == nil {
						if inside++; inside > 1 {
							t.Error("two at a time")
						}
						served++
						mu.Unlock()
						time.Sleep(100 * time.Microsecond)
						mu.Lock()
						inside--
					}
					mu.Unlock()
					_ = client.Release(context.Background(), c) // May be lost.
				}
			})
		}
		all.Wait()
		if served < 100 {
			t.Errorf("only %d of 1200 were served", served)
		}
		r.faults.Heal()
		time.Sleep(time.Second)
		r.free(true)
		for _, c := range clients[1:] {
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}
