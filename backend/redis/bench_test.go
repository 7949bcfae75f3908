//lint:file-ignore SA2001 What a pair costs is what is measured.

package redis_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

func benchClient(b *testing.B, s *redistest.Server) *dlock.Client {
	b.Helper()
	locks, err := dlock.Open(b.Context(), "redis://"+s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { locks.Close(context.Background()) })
	return locks
}

// pairs has goroutines lock and unlock, b.N times in all, and reports the rate.
func pairs(b *testing.B, goroutines int, lock func(i int) sync.Locker) {
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for g := range goroutines {
		all.Go(func() {
			l := lock(g)
			for range (b.N + goroutines - 1) / goroutines {
				l.Lock()
				l.Unlock()
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// BenchmarkPair is a lock and an unlock by one goroutine.
func BenchmarkPair(b *testing.B) {
	locks := benchClient(b, redistest.New(b))
	pairs(b, 1, func(int) sync.Locker { return locks.Mutex("invoices/2026-11") })
}

// BenchmarkNames is 256 goroutines, each with a name of its own.
func BenchmarkNames(b *testing.B) {
	locks := benchClient(b, redistest.New(b))
	pairs(b, 256, func(i int) sync.Locker { return locks.Mutex("name-" + strconv.Itoa(i)) })
}

// BenchmarkOneName is 64 goroutines of one process with one name.
func BenchmarkOneName(b *testing.B) {
	locks := benchClient(b, redistest.New(b))
	pairs(b, 64, func(int) sync.Locker { return locks.Mutex("name") })
}

// BenchmarkRaw is SET NX and a script that deletes, by one goroutine: what a pair
// costs without us.
func BenchmarkRaw(b *testing.B) {
	s := redistest.New(b)
	c := client.NewClient(&client.Options{Addr: s.Addr(), DisableIdentity: true})
	defer c.Close()
	free := client.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)
	for b.Loop() {
		if err := c.SetNX(b.Context(), "k", "token", 10*time.Second).Err(); err != nil {
			b.Fatal(err)
		}
		if err := free.Run(b.Context(), c, []string{"k"}, "token").Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHandover is a lock that passes to and fro between two sessions, by
// messages.
func BenchmarkHandover(b *testing.B) {
	s := redistest.New(b)
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	var sessions [2]backend.Session
	for i := range sessions {
		var err error
		if sessions[i], err = redis.New(c).Open(b.Context(), 10*time.Second, backend.ClientInfo{}); err != nil {
			b.Fatal(err)
		}
		defer sessions[i].Close(context.Background())
	}
	apply := func(i int, op backend.Op) {
		if _, _, err := sessions[i].Apply(b.Context(), []backend.Op{op}); err != nil {
			b.Fatal(err)
		}
	}
	op := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Wait: true, Owner: 1, Name: "n"}
	apply(1, op)
	turn := 1
	b.ReportAllocs()
	for b.Loop() {
		op.Owner++
		op.Do = backend.Acquire
		apply(1-turn, op)
		op.Owner--
		op.Do = backend.Release
		apply(turn, op)
		op.Owner++
		turn = 1 - turn
		for granted := false; !granted; {
			events, err := sessions[turn].Recv(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range events {
				granted = granted || e.Kind == backend.EventGranted && e.Owner == op.Owner
			}
		}
	}
}
