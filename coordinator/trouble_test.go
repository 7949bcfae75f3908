package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/coordinator"
)

// A desk is a coordinator on a store with leases, and what it says.
type desk struct {
	*testing.T
	*coordinator.Coordinator
	store *leasing

	mu     sync.Mutex
	log    bytes.Buffer
	losses []error
}

func newDesk(t *testing.T, of lessor) *desk {
	d := &desk{T: t, store: newLeasing(of)}
	d.Coordinator = coordinator.New(coordinator.Config{
		Backend: d.store, TTL: ttl, Handoff: 5 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(d, nil)),
		OnLoss: func(_ *coordinator.Claim, err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.losses = append(d.losses, err)
		},
		OnLate: func(*coordinator.Claim) {},
	})
	return d
}

func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

// lines returns the logged lines with text.
func (d *desk) lines(text string) (found []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func (d *desk) lost() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.losses)
}

func (d *desk) take(name string) *coordinator.Claim {
	d.Helper()
	c := coordinator.NewClaim(backend.Mutex, name, 1, backend.Exclusive, false)
	if err := d.Acquire(context.Background(), c); err != nil {
		d.Fatal(err)
	}
	return c
}

func (d *desk) end() {
	d.Helper()
	if err := d.Close(context.Background()); err != nil {
		d.Error(err)
	}
}

// A holder that looks past the deadline it knows declares the lease over, while a
// renewal is on its way and the driver goes on with the lease: what is granted later
// is held all the same.
func TestLeaseDeclaredOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, oneNode)
		defer d.end()
		first, second := d.take("a"), d.take("b")
		time.Sleep(ttl)
		before, ok := first.Deadline()
		if !ok {
			t.Fatal("no deadline")
		}
		deadline := before
		for deadline.Sub(before) < time.Second { // Until a heartbeat has just been answered.
			time.Sleep(time.Millisecond)
			deadline, _ = first.Deadline()
		}
		// The next heartbeat is sent in time, and its answer comes after the deadline.
		d.store.slow.Store(int64(ttl * 5 / 6))
		time.Sleep(time.Until(deadline) + time.Millisecond)
		if err := first.Ended(); !errors.Is(err, coordinator.ErrLost) {
			t.Fatalf("past its deadline: %v", err)
		}
		d.store.slow.Store(0)
		time.Sleep(ttl)
		if err := second.Ended(); !errors.Is(err, coordinator.ErrLost) {
			t.Errorf("another hold on the lease: %v", err)
		}
		third := d.take("c")
		time.Sleep(3 * ttl)
		if err := third.Ended(); err != nil {
			t.Errorf("a later grant on the same lease: %v", err)
		}
		if err := d.Release(context.Background(), third); err != nil {
			t.Error(err)
		}
		for _, c := range []*coordinator.Claim{first, second} {
			if err := d.Release(context.Background(), c); !errors.Is(err, coordinator.ErrLost) {
				t.Errorf("the release of what was lost: %v", err)
			}
		}
		synctest.Wait()
		if n := d.lost(); n != 2 || d.Stats().Lost != 2 {
			t.Errorf("%d losses told, %d counted; want 2", n, d.Stats().Lost)
		}
	})
}

// Whoever sees a lapse first, it is told once: also when that is the holder who
// releases.
func TestLapseSeenByHolders(t *testing.T) {
	const holders = 100
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, cluster)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range holders {
			c := d.take(fmt.Sprint(i))
			wg.Go(func() {
				<-start
				deadline, _ := c.Deadline()
				time.Sleep(time.Until(deadline)) // as the coordinator's timer does
				if err := d.Release(context.Background(), c); !errors.Is(err, coordinator.ErrLost) {
					t.Errorf("release at the deadline: %v", err)
				}
			})
		}
		d.store.slow.Store(int64(time.Hour))
		close(start)
		wg.Wait()
		synctest.Wait()
		if n := d.lost(); n != holders || d.Stats().Lost != holders {
			t.Errorf("%d losses told, %d counted; want %d", n, d.Stats().Lost, holders)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d.Close(ctx)
	})
}

// The first renewal that has no answer is announced, with what depends on it.
func TestMissedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, oneNode)
		a, _, _ := d.take("a"), d.take("b"), d.take("c")
		time.Sleep(10 * ttl)
		if lines := d.lines("not renewed"); len(lines) != 0 || d.Stats().Missed != 0 {
			t.Errorf("announced while all is well: %q", lines)
		}
		d.store.slow.Store(int64(ttl / 2)) // It is late, and in time all the same.
		begin := time.Now()
		for len(d.lines("not renewed")) == 0 && a.Ended() == nil {
			time.Sleep(time.Millisecond)
		}
		lines := d.lines("not renewed")
		if len(lines) != 1 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[0], "holds=3") ||
			!strings.Contains(lines[0], "deadline=") || !strings.Contains(lines[0], "no answer from the store") {
			t.Errorf("after %v: %q", time.Since(begin), lines)
		}
		if left, _ := a.Deadline(); time.Until(left) < ttl/3 {
			t.Errorf("announced %v before the deadline", time.Until(left))
		}
		if n := d.Stats().Missed; n != 1 {
			t.Errorf("counted %d times", n)
		}
		d.store.slow.Store(0)
		time.Sleep(5 * ttl)
		if a.Ended() != nil {
			t.Error("lost, though it was renewed in the end")
		}
		if n := len(d.lines("not renewed")); n != 1 {
			t.Errorf("announced %d times", n)
		}
		d.end()
	})
}

// What a driver says of its store is logged once, whoever says it again.
func TestNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, oneNode)
		a := d.take("a")
		for i := range 3 {
			for _, text := range []string{"one right is missing", "another right is missing"} {
				d.store.say(backend.Event{Kind: backend.EventNotice, Err: errors.New(text)})
			}
			if i == 1 {
				d.store.cut(errors.New("cut"))
				d.take("b")
			}
			time.Sleep(ttl / 10)
		}
		for _, text := range []string{"one right is missing", "another right is missing"} {
			if lines := d.lines(text); len(lines) != 1 || !strings.Contains(lines[0], "level=WARN") {
				t.Errorf("%q", lines)
			}
		}
		if a.Ended() == nil {
			t.Error("a hold outlived its session")
		}
		d.end()
	})
}

// A ctx that ends says what the store was doing, and why it ended.
func TestWhyAWaitEnded(t *testing.T) {
	own := errors.New("shift is over")
	for _, c := range []struct {
		name  string
		delay time.Duration
		want  string
	}{
		{"silent", time.Hour, "no answer from the store for 100ms"},
		{"held elsewhere", 0, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, oneNode)
			held := d.take("x")
			d.store.slow.Store(int64(c.delay))
			ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, own)
			defer cancel()
			err := d.Acquire(ctx, coordinator.NewClaim(backend.Mutex, "x", 1, backend.Shared, false))
			if c.delay > 0 {
				err = d.Acquire(ctx, coordinator.NewClaim(backend.Mutex, "y", 1, backend.Exclusive, false))
				if err == nil || !errors.Is(err, own) {
					t.Errorf("%s: a ctx that had ended: %v", c.name, err)
				}
				ctx, cancel = context.WithTimeoutCause(context.Background(), 100*time.Millisecond, own)
				defer cancel()
				err = d.Acquire(ctx, coordinator.NewClaim(backend.Mutex, "y", 1, backend.Exclusive, false))
			}
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, own) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			if c.want == "" && strings.Contains(err.Error(), "answer") {
				t.Errorf("%s: %v", c.name, err)
			}
			d.store.slow.Store(0)
			_ = held
			over, end := context.WithTimeout(context.Background(), time.Second)
			defer end()
			d.Close(over)
			time.Sleep(2 * time.Hour)
		})
	}
}

// Close returns when its ctx ends, whatever the driver does; so does a second one.
func TestCloseEndsWithItsCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, oneNode)
		d.take("x")
		d.store.slow.Store(int64(time.Minute))
		first := make(chan error, 1)
		go func() { first <- d.Close(context.Background()) }()
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second Close: %v", err)
		}
		if d := time.Since(begin); d > 1100*time.Millisecond {
			t.Errorf("the second Close took %v", d)
		}
		<-first
	})
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, oneNode)
		d.take("x")
		d.store.slow.Store(int64(time.Minute))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(begin); d > 1100*time.Millisecond {
			t.Errorf("Close took %v", d)
		}
	})
}

// A store that does not let this client in ends what waits for it.
func TestDenied(t *testing.T) {
	for _, why := range []error{backend.ErrDenied, backend.ErrUnsupported} {
		synctest.Test(t, func(t *testing.T) {
			c := coordinator.New(coordinator.Config{
				Backend: &closed{newLeasing(oneNode), fmt.Errorf("%w: no right to connect", why)}, TTL: ttl,
				Logger: slog.New(slog.DiscardHandler), OnLoss: func(*coordinator.Claim, error) {}, OnLate: func(*coordinator.Claim) {},
			})
			results := make(chan error, 3)
			for range 3 {
				go func() { results <- c.Acquire(context.Background(), mutex(false)) }()
			}
			for range 3 {
				if err := <-results; !errors.Is(err, why) {
					t.Errorf("%v instead of %v", err, why)
				}
			}
			if err := c.Open(t.Context()); !errors.Is(err, why) {
				t.Errorf("Open: %v", err)
			}
			c.Close(context.Background())
		})
	}
}

// closed is a store that lets nobody in.
type closed struct {
	*leasing
	why error
}

func (c *closed) Open(context.Context, time.Duration, backend.ClientInfo) (backend.Session, error) {
	return nil, c.why
}

// A session that is ended by the store before a release gets there has lost what was
// to be released. Of one that ends in another way that is not known.
func TestReleaseInAnEndedSession(t *testing.T) {
	for _, over := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, oneNode)
			defer d.end()
			c := d.take("x")
			why := errors.New("connection reset")
			if over {
				why = fmt.Errorf("%w: %w", backend.ErrSessionOver, why)
			}
			d.store.fail.Store(reason{why})
			err := d.Release(context.Background(), c)
			if err == nil || errors.Is(err, coordinator.ErrLost) != over {
				t.Errorf("over %v: %v", over, err)
			}
			want := 0
			if over {
				want = 1
			}
			if n := d.lost(); n != want || int(d.Stats().Lost) != want {
				t.Errorf("over %v: %d losses told, %d counted", over, n, d.Stats().Lost)
			}
			d.store.fail.Store(reason{})
		})
	}
}

// A release that the coordinator takes in the same turn as the loss before it says that
// the lock was lost.
func TestReleaseInTheTurnOfTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := backendtest.Faulty(memory.New(), backendtest.Plan{})
		busy := make(chan struct{})
		c := coordinator.New(coordinator.Config{
			Backend: faults, TTL: ttl, Logger: slog.New(slog.DiscardHandler),
			OnLoss: func(*coordinator.Claim, error) { <-busy },
			OnLate: func(*coordinator.Claim) {},
		})
		take := func(name string) *coordinator.Claim {
			claim := coordinator.NewClaim(backend.Mutex, name, 1, backend.Exclusive, false)
			if err := c.Acquire(context.Background(), claim); err != nil {
				t.Fatal(err)
			}
			return claim
		}
		first, second := take("first"), take("second")
		faults.Lose("first")
		synctest.Wait() // The coordinator is busy with the first loss.
		faults.Lose("second")
		synctest.Wait() // The second waits for it.
		released := make(chan error)
		go func() { released <- c.Release(context.Background(), second) }()
		synctest.Wait() // And so does the release.
		close(busy)
		if err := <-released; !errors.Is(err, coordinator.ErrLost) {
			t.Errorf("the release after the loss: %v", err)
		}
		if err := c.Release(context.Background(), first); !errors.Is(err, coordinator.ErrLost) {
			t.Errorf("a later release: %v", err)
		}
		if n := c.Stats().Lost; n != 2 {
			t.Errorf("%d losses", n)
		}
		c.Close(context.Background())
		faults.Bury()
	})
}
