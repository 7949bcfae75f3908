package dlocktest_test

import (
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
	"github.com/dlock-go/dlock/dlocktest"
)

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dlocktest.Run(t, dlocktest.Harness{
		Backend: func(*testing.T) backend.Backend { return file.New(dir) },
		URL:     file.New(dir).String(),
	})
}
