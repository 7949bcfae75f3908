//lint:file-ignore SA2001 Empty critical sections are what is measured.

package dlock_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
	"github.com/dlock-go/dlock/backend/memory"
)

// stores are the backends that the benchmarks run on.
var stores = []struct {
	name string
	open func(b *testing.B) backend.Backend
}{
	{"memory", func(*testing.B) backend.Backend { return memory.New() }},
	{"file", func(b *testing.B) backend.Backend { return file.New(b.TempDir()) }},
}

func benchmark(b *testing.B, run func(b *testing.B, c *dlock.Client)) {
	for _, s := range stores {
		b.Run(s.name, func(b *testing.B) {
			c, err := dlock.New(s.open(b))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, c)
			b.StopTimer()
			if err := c.Close(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}

func BenchmarkLockUnlock(b *testing.B) {
	benchmark(b, func(b *testing.B, c *dlock.Client) {
		mu := c.Mutex("bench")
		for b.Loop() {
			mu.Lock()
			mu.Unlock()
		}
	})
}

func BenchmarkAcquireRelease(b *testing.B) {
	benchmark(b, func(b *testing.B, c *dlock.Client) {
		mu := c.Mutex("bench")
		for b.Loop() {
			h, err := mu.Acquire(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if err := h.Release(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// 64 goroutines of one process on one name.
func BenchmarkContended(b *testing.B) {
	benchmark(b, func(b *testing.B, c *dlock.Client) {
		mu := c.Mutex("bench")
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				mu.Lock()
				mu.Unlock()
			}
		})
	})
}

// What a goroutine that waits costs beside its stack, and how long it takes to
// serve them all.
func BenchmarkWaiters(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c, err := dlock.New(memory.New())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				mu := c.Mutex("bench")
				mu.Lock()
				before := heap()
				var started, all sync.WaitGroup
				started.Add(n)
				for range n {
					all.Go(func() {
						started.Done()
						mu.Lock()
						mu.Unlock()
					})
				}
				started.Wait()
				// A waiter of another kind of lock is served after all that came
				// before it: by now they are queued.
				other := c.Mutex("other")
				other.Lock()
				other.Unlock()
				b.ReportMetric(float64(heap()-before)/float64(n), "B/waiter")
				start := time.Now()
				mu.Unlock()
				all.Wait()
				b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/served")
			}
			if err := c.Close(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}

// heap returns the bytes of live objects, stacks not among them.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
