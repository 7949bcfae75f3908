package contestant

import (
	"context"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/dlock-go/dlock/bench/testbed"
)

var gofrsFlock = &Contestant{
	ID: "gofrs", Title: "gofrs/flock", Store: File, Role: Peer, Holds: mostFiles, Waits: mostThreads,
	Says: "one Flock a goroutine; Lock and RLock, which block a thread each",
	open: func(_ context.Context, w *testbed.Testbed) (Locks, error) {
		dir := filepath.Join(w.Dir, "gofrs")
		return gofrsLocks(dir), os.MkdirAll(dir, 0o700)
	},
}

type gofrsLocks string

func (l gofrsLocks) Mutex(name string) Lock {
	return flock.New(filepath.Join(string(l), name))
}

func (l gofrsLocks) RWMutex(name string) (write, read Lock) {
	path := filepath.Join(string(l), name)
	return flock.New(path), gofrsReader{flock.New(path)}
}

func (l gofrsLocks) Close() {}

type gofrsReader struct{ *flock.Flock }

func (r gofrsReader) Lock() error { return r.RLock() }
