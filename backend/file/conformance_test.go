package file_test

import (
	"runtime"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/file"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	caps := backend.Caps{Queue: true, Notify: runtime.GOOS == "linux", Fencing: true, Processes: true, Inspect: true}
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		backendtest.Run(t, backendtest.Harness{
			New: func(t *testing.T) func() backend.Backend {
				dir := t.TempDir()
				return func() backend.Backend { return file.New(dir) }
			},
			Caps: caps,
		})
	})
	t.Run("remote", func(t *testing.T) {
		t.Parallel()
		caps := caps
		caps.Notify = false
		backendtest.Run(t, backendtest.Harness{
			New: func(t *testing.T) func() backend.Backend {
				dir := t.TempDir()
				return func() backend.Backend { return file.Remote(file.New(dir)) }
			},
			Caps: caps,
		})
	})
}
