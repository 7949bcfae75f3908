package dlocktest_test

import (
	"os"
	"path/filepath"
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
		Lose: func(t *testing.T, _ backend.Backend, class backend.Class, name string) {
			path := file.Path(dir, class, name)
			slots, err := filepath.Glob(path + ".*") // the tickets of a semaphore
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range append(slots, path) {
				if err := os.Rename(path, path+"~"); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
}
