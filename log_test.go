package dlock_test

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// A logbook keeps what is logged, a line a record: its level and message, then its
// attributes.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (b *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logbook) WithGroup(string) slog.Handler            { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	return nil
}

// has reports whether a line begins so and has the rest in it.
func (b *logbook) has(begin string, rest ...string) bool { return b.count(begin, rest...) > 0 }

// count returns how many lines begin so and have the rest in them.
func (b *logbook) count(begin string, rest ...string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, line := range b.lines {
		if strings.HasPrefix(line, begin) &&
			!slices.ContainsFunc(rest, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines, "\n")
}

// TestLog has everything happen that nobody asked about, in fake time.
func TestLog(t *testing.T) {
	const ttl = 9 * time.Second
	synctest.Test(t, func(t *testing.T) {
		faults := backendtest.Faulty(memory.New(), backendtest.Plan{Delay: 6 * time.Second})
		defer faults.Bury()
		book := new(logbook)
		c, err := dlock.New(faults, dlock.WithLogger(slog.New(book)), dlock.WithTTL(ttl), dlock.WithNamespace("space"))
		if err != nil {
			t.Fatal(err)
		}
		want := func(begin string, rest ...string) {
			t.Helper()
			synctest.Wait()
			if rest = append(rest, "backend="+faults.String()); !book.has(begin, rest...) {
				t.Errorf("nobody logged %q %q; what was logged:\n%s", begin, rest, book)
			}
		}
		mu := c.Mutex("x")

		faults.FailNext(backendtest.FailOpen, 2)
		mu.Lock()
		want("WARN dlock: store out of reach", "attempt=1", "waiting=1", "retry_in=", backendtest.ErrInjected.Error())
		want("INFO dlock: session reopened", "attempts=3")

		faults.FailNextOf(backendtest.UnknownAfter, 1, backendtest.Releases)
		mu.Unlock()
		want("INFO dlock: no answer; operations are sent again", "operations=1")

		mu.Lock()
		faults.FailNextOf(backendtest.DelayBefore, 1, backendtest.Releases)
		mu.Unlock()
		want("WARN dlock: release not confirmed yet", "class=mutex", "name=x")
		time.Sleep(ttl)

		mu.Lock()
		faults.FailNext(backendtest.FailBefore, 1) // the next heartbeat
		time.Sleep(ttl)
		want("WARN dlock: session lost", backendtest.ErrInjected.Error())
		want("WARN dlock: lock lost", "class=mutex", "name=x")
		mu.Unlock()
		faults.Bury() // The store keeps what the session had until now.
		mu.Lock()
		want("INFO dlock: session reopened", "attempts=1")
		mu.Unlock()
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A hold that becomes garbage is logged. The collector keeps real time.
func TestLogAbandoned(t *testing.T) {
	book := new(logbook)
	c, err := dlock.New(memory.New(), dlock.WithLogger(slog.New(book)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mutex("x").Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !book.has("WARN dlock: a hold became garbage", "name=x"); {
		if time.Now().After(deadline) {
			t.Fatal("an abandoned hold is not logged")
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
