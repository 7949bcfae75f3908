package dlocktest_test

import (
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/dlocktest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	store := memory.New()
	dlocktest.Run(t, dlocktest.Harness{
		Backend: func(*testing.T) backend.Backend { return store },
	})
}
