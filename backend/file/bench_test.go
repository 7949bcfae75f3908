package file_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// BenchmarkPair is an Acquire and a Release of a lock that nobody else wants.
func BenchmarkPair(b *testing.B) {
	for _, bm := range []struct {
		name  string
		class backend.Class
		mode  backend.Mode
		limit uint32
	}{
		{"mutex", backend.Mutex, backend.Exclusive, 1},
		{"read", backend.RWMutex, backend.Shared, 1},
		{"write", backend.RWMutex, backend.Exclusive, 1},
		{"semaphore", backend.Semaphore, backend.Exclusive, 3},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s, err := file.New(b.TempDir()).Open(b.Context(), time.Second, backend.ClientInfo{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(b.Context())
			ops := []backend.Op{{Class: bm.class, Mode: bm.mode, Wait: true, Limit: bm.limit, Name: "invoices/2026-11"}}
			b.ReportAllocs()
			for b.Loop() {
				ops[0].Owner++
				ops[0].Do = backend.Acquire
				results, _, err := s.Apply(b.Context(), ops)
				if err != nil || results[0].State != backend.Granted {
					b.Fatal(results, err)
				}
				ops[0].Do = backend.Release
				if _, _, err := s.Apply(b.Context(), ops); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandOver is the time between the release of a lock for which three
// others wait and the next grant, half of the times, and the share of the one
// served least in that of the one served most.
func BenchmarkHandOver(b *testing.B) {
	dir := b.TempDir()
	var (
		wg     sync.WaitGroup
		left   = make(chan time.Time, 1) // holds one, while nobody holds the lock
		gaps   []time.Duration           // guarded by the lock
		grants [4]int
	)
	left <- time.Now()
	for i := range grants {
		p := open(b, dir)
		wg.Go(func() {
			for {
				a := p.queue(mutex("x"))
				if err := a.wait(); err != nil {
					b.Error(err)
					return
				}
				gaps = append(gaps, time.Since(<-left))
				grants[i]++
				done := len(gaps) >= b.N
				time.Sleep(time.Millisecond)
				left <- time.Now()
				a.release()
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(gaps)
	b.ReportMetric(float64(gaps[len(gaps)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(gaps[len(gaps)*99/100].Nanoseconds()), "p99-ns")
	b.ReportMetric(float64(slices.Min(grants[:]))/float64(slices.Max(grants[:])), "fairness")
}
