package memory_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
)

// BenchmarkPair is one Apply that acquires and one that releases.
func BenchmarkPair(b *testing.B) {
	s := open(b, memory.New())
	acquire := []backend.Op{{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Name: "invoices/2026-11"}}
	release := []backend.Op{{Do: backend.Release, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Name: "invoices/2026-11"}}
	b.ReportAllocs()
	for b.Loop() {
		acquire[0].Owner++
		release[0].Owner++
		apply(b, s, acquire)
		apply(b, s, release)
	}
}

// BenchmarkBatch is a batch of 500 names, acquired and released.
func BenchmarkBatch(b *testing.B) {
	s := open(b, memory.New())
	acquire, release := make([]backend.Op, 500), make([]backend.Op, 500)
	for i := range acquire {
		acquire[i] = backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Owner: uint64(i + 1), Name: strconv.Itoa(i)}
		release[i] = acquire[i]
		release[i].Do = backend.Release
	}
	b.ReportAllocs()
	for b.Loop() {
		apply(b, s, acquire)
		apply(b, s, release)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/pair")
}

// BenchmarkHandover is a lock that passes to and fro between two sessions, by
// events.
func BenchmarkHandover(b *testing.B) {
	st := memory.New()
	sessions := [2]backend.Session{open(b, st), open(b, st)}
	op := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Wait: true, Owner: 1, Name: "n"}
	apply(b, sessions[1], []backend.Op{op})
	turn := 1
	b.ReportAllocs()
	for b.Loop() {
		op.Owner++
		op.Do = backend.Acquire
		apply(b, sessions[1-turn], []backend.Op{op})
		op.Owner--
		op.Do = backend.Release
		apply(b, sessions[turn], []backend.Op{op})
		op.Owner++
		turn = 1 - turn
		if _, err := sessions[turn].Recv(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func open(tb testing.TB, st *memory.Store) backend.Session {
	tb.Helper()
	s, err := st.Open(tb.Context(), time.Second, backend.ClientInfo{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func apply(tb testing.TB, s backend.Session, ops []backend.Op) []backend.Result {
	results, _, err := s.Apply(tb.Context(), ops)
	if err != nil {
		tb.Fatal(err)
	}
	return results
}
