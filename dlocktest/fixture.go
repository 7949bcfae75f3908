package dlocktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A fixture is what a check runs on: a part of the store that no other check
// uses.
type fixture struct {
	*testing.T
	Harness
	caps    backend.Caps
	prefix  string
	drained map[string]bool // names of semaphores that have one ticket left
	drainer *client         // has the other tickets; opened when needed
	stuck   bool            // goroutines were left waiting
}

func newFixture(t *testing.T, h Harness) *fixture {
	return &fixture{
		T:       t,
		Harness: h,
		caps:    h.Backend(t).Caps(),
		prefix:  fmt.Sprintf("%016x/", rand.Uint64()),
		drained: make(map[string]bool),
	}
}

// step runs a part of a check with names of its own.
func (f *fixture) step(name string, run func(f *fixture)) {
	f.Run(name, func(t *testing.T) { run(newFixture(t, f.Harness)) })
}

// forKinds runs a check on every kind of lock.
func (f *fixture) forKinds(kinds []kind, check func(f *fixture, k kind)) {
	for _, k := range kinds {
		f.step(k.name, func(f *fixture) { check(f, k) })
	}
}

// needs skips the check when the driver does not claim what it is about.
func (f *fixture) needs(claimed bool, what string) {
	f.Helper()
	if !claimed {
		f.Skipf("the driver does not claim Caps.%s", what)
	}
}

// name returns a name that is used by this check alone.
func (f *fixture) name(s string) string { return f.prefix + s }

// patient returns a context for what has to come. It ends with the test.
func (f *fixture) patient() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
	f.Cleanup(cancel)
	return ctx
}

// until waits for a condition that has to come true.
func (f *fixture) until(what string, cond func() bool) {
	f.Helper()
	f.within(f.Patience, what, cond)
}

// within is until with another patience.
func (f *fixture) within(d time.Duration, what string, cond func() bool) {
	f.Helper()
	for deadline := time.Now().Add(d); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("after %v still not true: %s", d, what)
		}
	}
}

// done waits for a channel to be closed, or for one value.
func done[T any](f *fixture, what string, c <-chan T) T {
	f.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(f.Patience):
		f.Fatalf("after %v still not true: %s", f.Patience, what)
		panic("unreachable")
	}
}

// wait waits for goroutines that take locks. When it fails, clients stay open:
// a Lock that is still under way would panic.
func (f *fixture) wait(all *sync.WaitGroup) {
	f.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		all.Wait()
	}()
	select {
	case <-over:
	case <-time.After(6 * f.Patience):
		f.stuck = true
		f.Fatalf("after %v goroutines still wait for locks", 6*f.Patience)
	}
}

// closed reports whether a channel is closed, or has a value.
func closed[T any](c <-chan T) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// panicked returns what f panicked with, or nil.
func panicked(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}
