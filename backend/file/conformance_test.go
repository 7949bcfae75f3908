package file_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/file"
)

// lose removes the files of a lock, the tickets of a semaphore among them.
func lose(t *testing.T, b backend.Backend, class backend.Class, name string) {
	path := file.Path(file.Dir(b), class, name)
	slots, err := filepath.Glob(path + ".*")
	must(t, err)
	for _, path := range append(slots, path) {
		must(t, file.Unlink(path))
	}
}

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
			Lose: lose,
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
			Lose: lose,
			Caps: caps,
		})
	})
}
