package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/coordinator"
)

// cpuTime is how long the process has computed, or nil where that is not known.
var cpuTime func() time.Duration

// A life is two clients of one store over many days.
type life struct {
	t     *testing.T
	a, b  *coordinator.Coordinator
	cut   func() // ends all sessions, or nil
	names int    // that came once
}

const agingTTL = 10 * time.Minute

// TestAging has clients live for thirty days, and compares what they keep and what a
// pair costs with the first day.
func TestAging(t *testing.T) {
	stores := map[string]func() (backend.Backend, func()){
		"memory": func() (backend.Backend, func()) { return memory.New(), nil },
	}
	for _, of := range []lessor{oneNode, cluster, quorum, postgres} {
		stores[of.String()] = func() (backend.Backend, func()) {
			l := newLeasing(of)
			return l, func() { l.cut(errors.New("connection reset")) }
		}
	}
	days := 30
	if testing.Short() {
		days = 4
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, cut := store()
				client := func() *coordinator.Coordinator {
					return coordinator.New(coordinator.Config{
						Backend: b, TTL: agingTTL, Handoff: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
						OnLoss: func(*coordinator.Claim, error) {}, OnLate: func(*coordinator.Claim) {},
					})
				}
				l := &life{t: t, a: client(), b: client(), cut: cut}
				l.day()
				first := l.measure()
				for day := 2; day <= days; day++ {
					if day > days/3 {
						l.cut = nil // From now on it is a session that ages.
					}
					l.day()
				}
				last := l.measure()
				t.Logf("first day: %v", first)
				t.Logf("day %d:    %v", days, last)
				last.compare(t, first)
				for _, c := range []*coordinator.Coordinator{l.a, l.b} {
					if err := c.Close(context.Background()); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// day lives through what happens in a day.
func (l *life) day() {
	for hour := 0; hour < 24; hour += 2 {
		for i := range 20 {
			l.pair(l.a, backend.Mutex, fmt.Sprint("often ", i), 1, 0)
		}
		for range 5 {
			l.names++
			l.pair(l.a, backend.Mutex, fmt.Sprint("once ", l.names), 1, 0)
		}
		l.pair(l.a, backend.Mutex, fmt.Sprint("long ", hour), 1, 2*agingTTL)
		l.pair(l.a, backend.Semaphore, "limit", uint32(1+hour%5), 0)
		for range 3 {
			l.contend()
			l.giveUp()
		}
		if l.cut != nil && hour%6 == 4 {
			c := l.acquire(l.a, backend.Mutex, "lost", 1)
			l.cut()
			synctest.Wait()
			if err := l.a.Release(context.Background(), c); !errors.Is(err, coordinator.ErrLost) {
				l.t.Errorf("the release of a hold of an ended session: %v", err)
			}
		}
		time.Sleep(2 * time.Hour)
	}
}

func (l *life) acquire(c *coordinator.Coordinator, class backend.Class, name string, limit uint32) *coordinator.Claim {
	l.t.Helper()
	claim := coordinator.NewClaim(class, name, limit, backend.Exclusive, false)
	if err := c.Acquire(context.Background(), claim); err != nil {
		l.t.Fatal(err)
	}
	return claim
}

func (l *life) release(c *coordinator.Coordinator, claim *coordinator.Claim) {
	l.t.Helper()
	if err := c.Release(context.Background(), claim); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) pair(c *coordinator.Coordinator, class backend.Class, name string, limit uint32, hold time.Duration) {
	l.t.Helper()
	claim := l.acquire(c, class, name, limit)
	if hold > 0 {
		time.Sleep(hold)
	}
	l.release(c, claim)
}

// contend has b wait for what a holds.
func (l *life) contend() {
	held := l.acquire(l.a, backend.Mutex, "hot", 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.pair(l.b, backend.Mutex, "hot", 1, 0)
	}()
	synctest.Wait()
	l.release(l.a, held)
	<-done
}

// giveUp has b wait for what a holds, until it no longer wants it.
func (l *life) giveUp() {
	held := l.acquire(l.a, backend.Mutex, "hot", 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	claim := coordinator.NewClaim(backend.Mutex, "hot", 1, backend.Exclusive, false)
	if err := l.b.Acquire(ctx, claim); !errors.Is(err, context.DeadlineExceeded) {
		l.t.Errorf("a wait that ends: %v", err)
	}
	l.release(l.a, held)
	synctest.Wait()
}

// An age is what two clients keep and what a pair costs.
type age struct {
	a, b    coordinator.Footprint
	memory  int64
	allocs  float64
	ops     float64
	batches float64
	cpu     time.Duration
}

func (a age) String() string {
	return fmt.Sprintf("%+v %+v; heap %d KiB; a pair: %.1f allocations, %.2f ops, %.2f batches, %v", a.a, a.b, a.memory>>10, a.allocs, a.ops, a.batches, a.cpu)
}

// measure takes stock while many locks are held, for it is the work for each of them
// that a pair must not be charged with.
func (l *life) measure() age {
	const held, pairs = 500, 500
	l.pair(l.b, backend.Mutex, "pair", 1, 0) // Each of them has a session.
	var holds []*coordinator.Claim
	for i := range held {
		holds = append(holds, l.acquire(l.a, backend.Mutex, fmt.Sprint("held ", i), 1))
	}
	run := func() {
		for range pairs {
			l.pair(l.a, backend.Mutex, "pair", 1, 0)
		}
	}
	run()
	stats, before := l.a.Stats(), mallocs()
	cpu := time.Duration(1 << 62)
	for range 3 {
		begin := time.Duration(0)
		if cpuTime != nil {
			begin = cpuTime()
		}
		run()
		if cpuTime != nil {
			cpu = min(cpu, (cpuTime()-begin)/pairs)
		}
	}
	after := l.a.Stats()
	a := age{
		allocs:  float64(mallocs()-before) / (3 * pairs),
		ops:     float64(after.Ops-stats.Ops) / (3 * pairs),
		batches: float64(after.Batches-stats.Batches) / (3 * pairs),
		cpu:     cpu,
	}
	for _, c := range holds {
		l.release(l.a, c)
	}
	holds = nil
	time.Sleep(3 * agingTTL)
	synctest.Wait()
	a.a, a.b = l.a.Footprint(), l.b.Footprint()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	a.memory = int64(m.HeapAlloc)
	return a
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// compare fails where a client has aged.
func (a age) compare(t *testing.T, first age) {
	t.Helper()
	if a.a != first.a || a.b != first.b {
		t.Error("a client keeps something else than after the first day")
	}
	if a.ops > first.ops*1.01 || a.batches > first.batches*1.01 {
		t.Error("a pair takes more operations than on the first day")
	}
	if a.allocs > first.allocs*1.2+1 {
		t.Error("a pair takes more memory than on the first day")
	}
	if grown := a.memory - first.memory; grown > 256<<10 {
		t.Errorf("%d KiB more are in use than after the first day", grown>>10)
	}
	if cpuTime != nil && a.cpu > 4*first.cpu {
		t.Errorf("a pair takes %v of the processor, %v on the first day", a.cpu, first.cpu)
	}
}
