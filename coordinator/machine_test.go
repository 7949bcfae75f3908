package coordinator_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// Thousands of places of a semaphore are withdrawn in about the time in which they
// were taken. A search for each of them among the others would take thousands of times
// as long.
func TestManyPlacesWithdrawn(t *testing.T) {
	const n = 64_000
	m := coordinator.NewMachine(backend.Caps{Contended: true}, 0)
	now := time.Now()
	begin := time.Now()
	var claims []*coordinator.Claim
	for range n {
		c := coordinator.NewClaim(backend.Semaphore, "x", backend.MaxLimit, backend.Exclusive, false)
		claims = append(claims, c)
		m.Submit(c, now)
	}
	if ops := m.Batch(nil, now); len(ops) != n {
		t.Fatalf("%d places for %d waiters", len(ops), n)
	}
	taken := time.Since(begin)
	begin = time.Now()
	for _, c := range claims {
		m.Cancel(c, now)
	}
	if ops := m.Batch(nil, now); len(ops) != n {
		t.Fatalf("%d of %d places are withdrawn", len(ops), n)
	}
	if withdrawn := time.Since(begin); withdrawn > 50*taken {
		t.Errorf("withdrawn in %v, taken in %v", withdrawn, taken)
	}
}

// What was told is not kept: after a burst its claims are garbage.
func TestToldIsGarbage(t *testing.T) {
	m := coordinator.NewMachine(backend.Caps{}, 0)
	var last weak.Pointer[coordinator.Claim]
	for i := range 5000 {
		c := coordinator.NewClaim(backend.Mutex, fmt.Sprint(i), 1, backend.Exclusive, true)
		last = weak.Make(c)
		m.Submit(c, time.Now())
	}
	m.Unreachable(errors.New("out of reach"))
	if n := len(m.Effects()); n != 5000 {
		t.Fatalf("%d effects", n)
	}
	m.Told()
	m.Submit(coordinator.NewClaim(backend.Mutex, "x", 1, backend.Exclusive, true), time.Now())
	runtime.GC()
	if last.Value() != nil {
		t.Error("a claim that was refused is kept")
	}
	runtime.KeepAlive(m)
}

// Waits that end while there is no session leave nothing behind, whatever their names.
func TestOutageLeavesNothing(t *testing.T) {
	m := coordinator.NewMachine(backend.Caps{}, 0)
	now := time.Now()
	var before, after runtime.MemStats
	run := func(from, to int) {
		for i := from; i < to; i++ {
			c := coordinator.NewClaim(backend.Mutex, fmt.Sprintf("%0100d", i), 1, backend.Exclusive, false)
			m.Submit(c, now)
			m.Cancel(c, now)
			m.Told()
		}
		runtime.GC()
	}
	run(0, 20_000)
	runtime.ReadMemStats(&before)
	run(20_000, 100_000)
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("80 000 waits that have ended keep %d KiB", grown>>10)
	}
	if ops := m.Batch(nil, now); len(ops) != 0 || !m.Empty() {
		t.Errorf("%d operations are left", len(ops))
	}
}
