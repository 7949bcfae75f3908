package dlock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// This file tests what becomes of dlock when the code that the program passes to it,
// log handlers, spans, contexts and the loss handler, takes its time.

// A slowLog is a logbook that lets lines wait.
type slowLog struct {
	logbook
	pause time.Duration
	gate  chan struct{} // if set, nothing is written before it is closed
}

// Enabled is asked for as seldom as Handle is called.
func (l *slowLog) Enabled(context.Context, slog.Level) bool {
	l.wait()
	return true
}

func (l *slowLog) WithAttrs([]slog.Attr) slog.Handler { l.wait(); return l }
func (l *slowLog) WithGroup(string) slog.Handler      { l.wait(); return l }

func (l *slowLog) Handle(ctx context.Context, r slog.Record) error {
	time.Sleep(l.pause)
	return l.logbook.Handle(ctx, r)
}

func (l *slowLog) wait() {
	if l.gate != nil {
		<-l.gate
	}
}

// hearing takes n locks and returns a function that waits until all their holders have
// heard of their loss, and returns how long after the first the last one has.
func hearing(t *testing.T, c *dlock.Client, ctx context.Context, n int) func() time.Duration {
	t.Helper()
	var mu sync.Mutex
	var heard []time.Time
	var all sync.WaitGroup
	for i := range n {
		h, err := c.Mutex(fmt.Sprintf("%05d", i)).Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			<-h.Lost()
			mu.Lock()
			heard = append(heard, time.Now())
			mu.Unlock()
			_ = h.Release(context.Background())
		})
	}
	return func() time.Duration {
		all.Wait()
		return heard[n-1].Sub(heard[0])
	}
}

// A log that is slow, or stuck, delays nobody who has lost a lock. Its lines keep
// their order, and those that there is no room for are counted.
func TestLogIsNotWaitedFor(t *testing.T) {
	for name, slow := range map[string]*slowLog{
		"slow":  {pause: time.Millisecond},
		"stuck": {gate: nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 1000
				if name == "stuck" {
					n = 1500 // More than there is room for.
					slow.gate = make(chan struct{})
				}
				store := backendtest.Faulty(memory.New(), backendtest.Plan{Lease: time.Minute})
				defer store.Bury()
				c, err := dlock.New(store, dlock.WithLogger(slog.New(slow)), dlock.WithTTL(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				last := hearing(t, c, t.Context(), n)
				began := time.Now()
				store.Cut()
				if late := last(); late != 0 || !time.Now().Equal(began) {
					t.Errorf("the last of %d holders heard %v after the first", n, late)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
				defer cancel()
				began = time.Now()
				err = c.Close(ctx)
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second/2 {
					t.Errorf("Close returned %v after %v", err, took)
				}
				if slow.gate != nil {
					close(slow.gate)
				}
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
				var names []string
				missing := 0
				for _, line := range slow.lines {
					if _, rest, found := strings.Cut(line, "WARN dlock: lock lost class=mutex name="); found {
						names = append(names, rest[:5])
					}
					if strings.HasPrefix(line, "WARN dlock: the log is too slow") {
						if _, err := fmt.Sscanf(line[strings.Index(line, "lines="):], "lines=%d", &missing); err != nil {
							t.Error(err)
						}
					}
				}
				if !slices.IsSorted(names) {
					t.Error("lines are not in order")
				}
				if len(names)+missing < n || n == 1000 && missing > 0 || n > 1024 && (missing == 0 || len(names) < 1000) {
					t.Errorf("%d lines for %d losses, %d missing", len(names), n, missing)
				}
			})
		})
	}
}

// A logger with attributes of its own keeps them.
func TestLogKeepsAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})).With("app", "a b").WithGroup("locks")
		store := backendtest.Faulty(memory.New(), backendtest.Plan{})
		defer store.Bury()
		c, err := dlock.New(store, dlock.WithLogger(logger))
		if err != nil {
			t.Fatal(err)
		}
		last := hearing(t, c, t.Context(), 1)
		store.Cut()
		last()
		c.Mutex("again").Lock() // A line of level Info.
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := text.String(); !strings.Contains(got, `msg="dlock: lock lost" app="a b" locks.class=mutex locks.name=00000`) || strings.Contains(got, "level=INFO") {
			t.Errorf("it logs\n%s", got)
		}
	})
}

// A stuckSpan does not take events before its gate is closed.
type stuckSpan struct {
	trace.Span
	gate   chan struct{}
	events *atomic.Int64
}

func (s stuckSpan) IsRecording() bool { return true }
func (s stuckSpan) AddEvent(string, ...trace.EventOption) {
	<-s.gate
	s.events.Add(1)
}

// A stuckContext does not answer between two moments.
type stuckContext struct {
	context.Context
	stuck atomic.Bool
	gate  chan struct{}
}

func (c *stuckContext) Value(key any) any { c.wait(); return c.Context.Value(key) }
func (c *stuckContext) Done() <-chan struct{} {
	c.wait()
	return c.Context.Done()
}

func (c *stuckContext) wait() {
	if c.stuck.Load() {
		<-c.gate
	}
}

// Spans and contexts that are stuck delay none but their owners.
func TestSpansAndContextsAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := backendtest.Faulty(memory.New(), backendtest.Plan{})
		defer store.Bury()
		c, _ := loggingClient(t, store)
		gate := make(chan struct{})
		var events atomic.Int64
		span := stuckSpan{noop.Span{}, gate, &events}
		inner, cancel := context.WithCancel(t.Context())
		defer cancel()
		stuck := &stuckContext{Context: inner, gate: gate}

		done := make(chan error, 1)
		go func() {
			done <- c.Mutex("do").Do(stuck, func(ctx context.Context) error {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				<-child.Done()
				return context.Cause(child)
			})
		}()
		synctest.Wait()
		last := hearing(t, c, trace.ContextWithSpan(t.Context(), span), 10)
		stuck.stuck.Store(true)
		began := time.Now()
		store.Cut()
		if late := last(); late != 0 || !time.Now().Equal(began) {
			t.Errorf("the last holder heard %v after the first", late)
		}
		c.Mutex("another").Lock() // The coordinator works.
		synctest.Wait()
		if events.Load() != 0 {
			t.Error("a stuck span has events")
		}
		close(gate)
		if err := <-done; !errors.Is(err, dlock.ErrLost) {
			t.Errorf("Do returned %v", err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := events.Load(); n != 10 {
			t.Errorf("%d of 10 holds have an event of their loss", n)
		}
	})
}

// A loss handler may close its client, and Close waits for one that does not.
func TestCloseByTheLossHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := backendtest.Faulty(memory.New(), backendtest.Plan{})
		defer store.Bury()
		book := new(logbook)
		var c *dlock.Client
		closed := make(chan error, 2)
		c, err := dlock.New(store, dlock.WithLogger(slog.New(book)), dlock.WithLossHandler(func(dlock.Loss) {
			closed <- c.Close(context.Background())
			if book.count("WARN dlock: lock lost") != 2 {
				t.Error("Close has not waited for the log")
			}
			time.Sleep(time.Minute)
		}))
		if err != nil {
			t.Fatal(err)
		}
		last := hearing(t, c, t.Context(), 2)
		store.Cut()
		last()
		began := time.Now()
		for range 2 { // The handler is called twice, one after the other.
			if err := <-closed; err != nil {
				t.Errorf("Close within the handler: %v", err)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("Close returned after %v, and the handler takes two minutes", took)
		}
	})
}

// A log handler may close its client, too. Whoever has lost a lock hears of it all the same,
// whichever of the two is faster.
func TestCloseByTheLog(t *testing.T) {
	for range 200 {
		synctest.Test(t, closeByTheLog)
	}
}

func closeByTheLog(t *testing.T) {
	store := backendtest.Faulty(memory.New(), backendtest.Plan{})
	defer store.Bury()
	closer := new(closingLog)
	c, err := dlock.New(store, dlock.WithLogger(slog.New(closer)))
	if err != nil {
		t.Fatal(err)
	}
	closer.client.Store(c)
	last := hearing(t, c, t.Context(), 1)
	store.Cut()
	last()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if !closer.closed.Load() {
		t.Error("the log handler has not closed the client")
	}
}

type closingLog struct {
	logbook
	client atomic.Pointer[dlock.Client]
	closed atomic.Bool
}

func (l *closingLog) Handle(ctx context.Context, _ slog.Record) error {
	err := l.client.Load().Close(context.Background())
	l.closed.Store(err == nil)
	return err
}

// Each Close waits for the loss handler until its own ctx ends.
func TestCloseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := backendtest.Faulty(memory.New(), backendtest.Plan{})
		defer store.Bury()
		stuck := make(chan struct{})
		c, err := dlock.New(store, dlock.WithLogger(slog.New(slog.DiscardHandler)), dlock.WithLossHandler(func(dlock.Loss) { <-stuck }))
		if err != nil {
			t.Fatal(err)
		}
		last := hearing(t, c, t.Context(), 1)
		store.Cut()
		last()
		var all sync.WaitGroup
		for _, patience := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				began := time.Now()
				if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != patience {
					t.Errorf("Close returned %v after %v, its ctx ended after %v", err, time.Since(began), patience)
				}
			})
		}
		all.Wait()
		close(stuck)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
