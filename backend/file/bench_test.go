package file_test

import (
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
		{"read", backend.RWMutex, backend.Shared, 0},
		{"write", backend.RWMutex, backend.Exclusive, 0},
		{"semaphore", backend.Semaphore, backend.Exclusive, 3},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s, err := file.New(b.TempDir()).Open(b.Context(), time.Second)
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
