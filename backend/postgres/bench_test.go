package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/internal/pgtest"
)

// The benchmarks run on a server that makes what it writes durable, beside what
// one does by hand on a pool of pgx.

func benchServer(b *testing.B) *pgtest.Server {
	return pgtest.New(b, pgtest.Config{Settings: map[string]string{"max_connections": "200"}})
}

func benchPool(b *testing.B, server *pgtest.Server, most int32) *pgxpool.Pool {
	b.Helper()
	c, err := pgxpool.ParseConfig(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	c.MaxConns = most
	p, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	return p
}

func benchClient(b *testing.B, server *pgtest.Server, options ...Option) *dlock.Client {
	b.Helper()
	c, err := dlock.New(open(b, server.URL(), options...))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// pass locks and unlocks.
func pass(l sync.Locker) {
	l.Lock()
	defer l.Unlock()
}

// byHand locks and unlocks an advisory lock.
func byHand(b *testing.B, p *pgxpool.Pool, key int64, inside func()) {
	ctx := context.Background()
	c, err := p.Acquire(ctx)
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Release()
	if _, err := c.Exec(ctx, "select pg_advisory_lock($1)", key); err != nil {
		b.Error(err)
	}
	inside()
	if _, err := c.Exec(ctx, "select pg_advisory_unlock($1)", key); err != nil {
		b.Error(err)
	}
}

// median reports the median of how long each of n rounds took.
func median(b *testing.B, round func()) {
	b.Helper()
	round()
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		began := time.Now()
		round()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
}

// One goroutine locks and unlocks a name that nobody else wants.
func BenchmarkPair(b *testing.B) {
	server := benchServer(b)
	b.Run("by hand", func(b *testing.B) {
		p := benchPool(b, server, 1)
		median(b, func() { byHand(b, p, 1, func() {}) })
	})
	for name, options := range map[string][]Option{"dlock": nil, "dlock without tokens": {WithoutTokens()}} {
		b.Run(name, func(b *testing.B) {
			mu := benchClient(b, server, options...).Mutex("a")
			median(b, func() { pass(mu) })
		})
	}
}

// 64 goroutines lock and unlock a name each.
func BenchmarkNames(b *testing.B) {
	const goroutines = 64
	server := benchServer(b)
	spread := func(b *testing.B, pair func(i int)) {
		b.Helper()
		var all sync.WaitGroup
		b.ResetTimer()
		for i := range goroutines {
			all.Go(func() {
				for range (b.N + i) / goroutines {
					pair(i)
				}
			})
		}
		all.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
	}
	b.Run("by hand, 90 connections", func(b *testing.B) {
		p := benchPool(b, server, 90)
		spread(b, func(i int) { byHand(b, p, int64(i), func() {}) })
	})
	for name, options := range map[string][]Option{"dlock": nil, "dlock without tokens": {WithoutTokens()}} {
		b.Run(name, func(b *testing.B) {
			c := benchClient(b, server, options...)
			var locks [goroutines]*dlock.Mutex
			for i := range locks {
				locks[i] = c.Mutex(fmt.Sprint(i))
			}
			spread(b, func(i int) { pass(locks[i]) })
		})
	}
}

// 64 goroutines of one client want one name.
func BenchmarkOneName(b *testing.B) {
	mu := benchClient(b, benchServer(b)).Mutex("a")
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			pass(mu)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// Four parties pass one name around, and hold it for a millisecond. What is told
// is the time between a release and the next grant, and what the party that had
// least got of what the one that had most did.
func BenchmarkHandover(b *testing.B) {
	const parties = 4
	server := benchServer(b)
	contend := func(b *testing.B, hold func(party int, inside func())) {
		b.Helper()
		var mu sync.Mutex
		var released time.Time
		var gaps []time.Duration
		var shares [parties]int
		total := 0
		var all sync.WaitGroup
		b.ResetTimer()
		for i := range parties {
			all.Go(func() {
				for {
					over := false
					hold(i, func() {
						now := time.Now()
						mu.Lock()
						if !released.IsZero() {
							gaps = append(gaps, now.Sub(released))
						}
						total++
						shares[i]++
						over = total >= b.N
						mu.Unlock()
						time.Sleep(time.Millisecond)
						mu.Lock()
						released = time.Now()
						mu.Unlock()
					})
					if over {
						return
					}
				}
			})
		}
		all.Wait()
		slices.Sort(gaps)
		if len(gaps) > 0 {
			b.ReportMetric(float64(gaps[len(gaps)/2].Nanoseconds()), "p50-gap-ns")
		}
		b.ReportMetric(float64(slices.Min(shares[:]))/float64(slices.Max(shares[:])), "least/most")
	}
	b.Run("by hand", func(b *testing.B) {
		p := benchPool(b, server, parties)
		contend(b, func(_ int, inside func()) { byHand(b, p, 1, inside) })
	})
	b.Run("dlock", func(b *testing.B) {
		var locks [parties]*dlock.Mutex
		for i := range locks {
			locks[i] = benchClient(b, server).Mutex("a")
		}
		contend(b, func(i int, inside func()) {
			locks[i].Lock()
			inside()
			locks[i].Unlock()
		})
	})
}
