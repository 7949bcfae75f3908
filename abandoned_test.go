package dlock_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// The garbage collector keeps real time, and so do these tests.

// collected waits until the garbage collector has made something happen.
func collected(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not seen", what)
		}
		runtime.GC()
	}
}

// collect waits until the garbage collector has found what is garbage by now: holds
// that are forgotten later are found.
func collect(t *testing.T) {
	t.Helper()
	c, book := loggingClient(t, memory.New())
	for i := range 2 {
		name := fmt.Sprint("name=", i)
		func() { acquire(t, c.Mutex(fmt.Sprint(i))) }()
		collected(t, "a hold that was forgotten later", func() bool { return book.has("WARN dlock: a hold became garbage", name) })
	}
}

// Who keeps the channel of Lost alone hears that the lock is gone.
func TestLostOfAnAbandonedHold(t *testing.T) {
	store := memory.New()
	c, book := loggingClient(t, store)
	for name, l := range map[string]interface {
		Acquire(context.Context) (*dlock.Hold, error)
	}{"mutex": c.Mutex("x"), "composite": dlock.All(c.Mutex("y"), c.Mutex("z"))} {
		lost := func() <-chan struct{} { return acquire(t, l).Lost() }()
		collected(t, name+": the channel is closed", func() bool {
			select {
			case <-lost:
				return true
			default:
				return false
			}
		})
	}
	rival := newClient(t, store, time.Minute)
	for _, name := range []string{"x", "y", "z"} {
		if err := rival.Mutex(name).LockContext(t.Context()); err != nil {
			t.Errorf("%s is still taken: %v", name, err)
		}
	}
	collected(t, "two warnings", func() bool { return book.count("WARN dlock: a hold became garbage") == 2 })
}

// What is derived from the context of a hold keeps it, as the documentation says.
func TestContextKeepsAForgottenHold(t *testing.T) {
	c, book := loggingClient(t, memory.New())
	var all []any // until the end
	for what, pin := range map[string]func(ctx context.Context) any{
		"AfterFunc":  func(ctx context.Context) any { context.AfterFunc(ctx, func() {}); return nil },
		"WithCancel": func(ctx context.Context) any { _, cancel := context.WithCancel(ctx); return cancel },
		"value":      func(ctx context.Context) any { return context.WithValue(ctx, what{}, 1) },
	} {
		kept := pin(acquire(t, c.Mutex(what)).Context())
		collect(t)
		if c.Mutex(what).TryLock() {
			t.Errorf("%s does not keep the hold: %v", what, kept)
		}
		all = append(all, kept)
	}
	if book.has("WARN dlock: a hold became garbage") {
		t.Errorf("a warning:\n%s", book)
	}
	runtime.KeepAlive(all)
}

type what struct{}

// Holds that Close gave back, or that were lost, are forgotten without a warning.
func TestNoWarningForWhatIsOver(t *testing.T) {
	faults := backendtest.Faulty(memory.New(), backendtest.Plan{})
	t.Cleanup(faults.Bury)
	c, book := loggingClient(t, faults)
	func() {
		lost, told := acquire(t, c.Mutex("lost")), acquire(t, c.Mutex("told"))
		faults.Lose("lost")
		faults.Lose("told")
		<-told.Lost()
		for c.Stats().Lost != 2 {
			runtime.Gosched()
		}
		held, watched := acquire(t, c.Mutex("held")), acquire(t, dlock.All(c.Mutex("a"), c.Mutex("b")))
		<-func() <-chan struct{} {
			ctx := watched.Context()
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
			return ctx.Done()
		}()
		runtime.KeepAlive(lost)
		runtime.KeepAlive(held)
	}()
	collect(t)
	if book.has("WARN dlock: a hold became garbage") {
		t.Errorf("a warning:\n%s", book)
	}
}
