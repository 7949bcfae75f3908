package backendtest

import (
	"context"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/leak"
)

func checkGoroutines(f *fixture) {
	b := f.open()
	f.close(f.bare(b)) // what a Backend starts once is not counted
	left := leak.Watch(func() {
		var sessions []backend.Session
		for range 5 {
			s := f.bare(b)
			sessions = append(sessions, s)
			op := mutex("a")
			op.Do, op.Owner, op.Wait = backend.Acquire, 1, true
			if _, _, err := s.Apply(context.Background(), []backend.Op{op}); err != nil {
				f.Fatalf("Apply: %v", err)
			}
		}
		for _, s := range sessions {
			f.close(s)
		}
	})
	for _, stack := range leak.Gone(left, f.bound()) {
		f.Errorf("a goroutine is left:\n%s", stack)
	}
}
