package memory_test

import (
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, backendtest.Harness{
		New: func(*testing.T) func() backend.Backend {
			st := memory.New()
			return func() backend.Backend { return st }
		},
		Caps: backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Inspect: true},
	})
}
