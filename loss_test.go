package dlock_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// releasing are the ways to give a lock back after something happened. Each returns
// what it learns, or nil where there is no way to tell.
var releasing = map[string]struct {
	way   func(c *dlock.Client, happens func()) error
	tells bool
}{
	"Release": {func(c *dlock.Client, happens func()) error {
		h, err := c.Mutex("x").Acquire(context.Background())
		if err != nil {
			return err
		}
		happens()
		return h.Release(context.Background())
	}, true},
	"UnlockContext": {func(c *dlock.Client, happens func()) error {
		mu := c.Mutex("x")
		mu.Lock()
		happens()
		return mu.UnlockContext(context.Background())
	}, true},
	"Do": {func(c *dlock.Client, happens func()) error {
		return c.Mutex("x").Do(context.Background(), func(context.Context) error { happens(); return errOfF })
	}, true},
	"Composite": {func(c *dlock.Client, happens func()) error {
		return dlock.All(c.Mutex("x")).Do(context.Background(), func(context.Context) error { happens(); return errOfF })
	}, true},
	"Unlock": {func(c *dlock.Client, happens func()) error {
		mu := c.Mutex("x")
		mu.Lock()
		happens()
		mu.Unlock()
		return nil
	}, false},
	"Composite.Unlock": {func(c *dlock.Client, happens func()) error {
		all := dlock.All(c.Mutex("x"))
		all.Lock()
		happens()
		all.Unlock()
		return nil
	}, false},
}

var errOfF = errors.New("an error of f")

// A loss is told once everywhere, whoever learns of it: the store's answer to the
// release, or the client before that.
func TestLossIsToldOnce(t *testing.T) {
	missing := func(op backend.Op, r *backend.Result) {
		if op.Do == backend.Release {
			*r = backend.Result{State: backend.NotHeld}
		}
	}
	for name, release := range releasing {
		for when, answer := range map[string]func(backend.Op, *backend.Result){"by the release": missing, "before": nil} {
			t.Run(name+" "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					faults := backendtest.Faulty(memory.New(), backendtest.Plan{})
					defer faults.Bury()
					book := new(logbook)
					var told atomic.Int64
					c, err := dlock.New(&bent{Backend: faults, answer: answer}, dlock.WithLogger(slog.New(book)), dlock.WithLossHandler(func(l dlock.Loss) {
						if l.Name != "x" || l.Class != "mutex" || l.Token == 0 || !errors.Is(l.Err, dlock.ErrLost) {
							t.Errorf("the handler is told %+v", l)
						}
						told.Add(1)
					}))
					if err != nil {
						t.Fatal(err)
					}
					err = release.way(c, func() {
						if answer == nil {
							faults.Lose("x")
							synctest.Wait()
						}
					})
					if release.tells && !errors.Is(err, dlock.ErrLost) || !release.tells && err != nil {
						t.Errorf("it returned %v", err)
					}
					if strings.HasSuffix(name, "Do") && !errors.Is(err, errOfF) {
						t.Errorf("it returned %v without the error of f", err)
					}
					synctest.Wait()
					lost := c.Stats().Lost
					if lines := book.count("WARN dlock: lock lost", "name=x"); lines != 1 || told.Load() != 1 || lost != 1 {
						t.Errorf("one loss: %d lines, %d calls of the handler, %d in Stats", lines, told.Load(), lost)
					}
					if n := len(book.lines); n != 1 {
						t.Errorf("%d lines:\n%s", n, book)
					}
					if err := c.Close(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A release whose outcome nobody knows says that, and is no loss.
func TestReleaseOfUnknownOutcome(t *testing.T) {
	for name, release := range releasing {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults := backendtest.Faulty(memory.New(), backendtest.Plan{})
				defer faults.Bury()
				c, book := loggingClient(t, faults)
				err := release.way(c, func() { faults.FailNextOf(backendtest.FailAfter, 1, backendtest.Releases) })
				if errors.Is(err, dlock.ErrLost) {
					t.Errorf("it returned %v", err)
				}
				if name == "Release" || name == "UnlockContext" {
					if err == nil || !strings.Contains(err.Error(), "not known to be released") || !errors.Is(err, backendtest.ErrInjected) {
						t.Errorf("it returned %v", err)
					}
				} else {
					synctest.Wait()
					if !book.has("WARN dlock: release not confirmed", "not known to be released") {
						t.Errorf("nobody says so:\n%s", book)
					}
				}
				if lost := c.Stats().Lost; lost != 0 {
					t.Errorf("%d in Stats", lost)
				}
			})
		})
	}
}

// A loss that only the release learned of is an event of the span of the work, too.
func TestLossLearnedByReleaseIsTraced(t *testing.T) {
	rec := newRecorder()
	c, _ := loggingClient(t, &bent{Backend: memory.New(), answer: func(op backend.Op, r *backend.Result) {
		if op.Do == backend.Release {
			*r = backend.Result{State: backend.NotHeld}
		}
	}}, dlock.WithTracerProvider(rec))
	ctx, work := rec.Tracer("test").Start(context.Background(), "work")
	h, err := c.Mutex("x").Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Release(ctx); !errors.Is(err, dlock.ErrLost) {
		t.Fatal(err)
	}
	if _, attrs := rec.last(t); attrs["dlock.outcome"] != "lost" {
		t.Errorf("the outcome of the release is %s", attrs["dlock.outcome"])
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	work.End()
	if s, _ := rec.last(t); s.Name() != "work" || len(s.Events()) != 1 || s.Events()[0].Name != "dlock.lost" {
		t.Errorf("%s has events %v", s.Name(), s.Events())
	}
}

// A holder that looks before anybody else hears at once, and so does the rest.
func TestHolderSeesTheLossFirst(t *testing.T) {
	const ttl = 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		faults := backendtest.Faulty(memory.New(), backendtest.Plan{Lease: ttl})
		defer faults.Bury()
		var told atomic.Int64
		book := new(logbook)
		c, err := dlock.New(faults, dlock.WithTTL(ttl), dlock.WithLogger(slog.New(book)), dlock.WithLossHandler(func(dlock.Loss) { told.Add(1) }))
		if err != nil {
			t.Fatal(err)
		}
		const n = 20
		var holds []*dlock.Hold
		for i := range n {
			holds = append(holds, acquire(t, c.Mutex(string(rune('a'+i)))))
		}
		faults.FailNext(backendtest.UnknownBefore, 1<<20)
		deadline, _ := holds[0].Deadline()
		time.Sleep(time.Until(deadline)) // The timers of the client may not have fired yet.
		for _, h := range holds {
			if err := h.Release(t.Context()); !errors.Is(err, dlock.ErrLost) {
				t.Errorf("a release at the deadline returned %v", err)
			}
		}
		synctest.Wait()
		if lines, lost := book.count("WARN dlock: lock lost"), c.Stats().Lost; lines != n || told.Load() != n || lost != n {
			t.Errorf("%d losses: %d lines, %d calls of the handler, %d in Stats", n, lines, told.Load(), lost)
		}
		_ = c.Close(t.Context())
	})
}
