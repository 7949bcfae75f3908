package dlock_test

import (
	"context"
	"testing"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
)

// stores are the backends that the benchmarks run on.
var stores = []struct {
	name string
	open func(b *testing.B) backend.Backend
}{
	{"memory", func(*testing.B) backend.Backend { return memory.New() }},
	// {"file", func(b *testing.B) backend.Backend { return file.New(b.TempDir()) }},
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
			mu.Unlock() //nolint:staticcheck // An empty critical section is what is measured.
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
				mu.Unlock() //nolint:staticcheck
			}
		})
	})
}
