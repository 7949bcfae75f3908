package file

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// A release says when it found that there was nothing left to give back. Nobody
// calls Recv here, nor is there a heartbeat: it has to look for itself.
func TestReleaseOfLost(t *testing.T) {
	kind := func(class backend.Class, mode backend.Mode, limit uint32) backend.Op {
		return backend.Op{Do: backend.Acquire, Class: class, Mode: mode, Limit: limit, Name: "x", Owner: 1}
	}
	remove := func(t *testing.T, path string) { must(t, flock.Unlink(path)) }
	replace := func(t *testing.T, path string) {
		must(t, os.WriteFile(path+"~", nil, 0o666))
		if runtime.GOOS == "windows" { // where no file replaces one in use
			must(t, flock.Unlink(path))
		}
		must(t, os.Rename(path+"~", path))
	}
	move := func(t *testing.T, path string) {
		if runtime.GOOS == "windows" {
			t.Skip("Windows keeps a directory as long as its files are open")
		}
		dir := filepath.Dir(path)
		must(t, os.Rename(dir, dir+"~"))
	}
	for _, test := range []struct {
		name string
		op   backend.Op
		file string // behind the name of the lock file
	}{
		{"mutex", kind(backend.Mutex, backend.Exclusive, 1), ""},
		{"write lock", kind(backend.RWMutex, backend.Exclusive, 1), ""},
		{"read lock", kind(backend.RWMutex, backend.Shared, 1), ""},
		{"semaphore", kind(backend.Semaphore, backend.Exclusive, 2), ""},
		{"ticket of a semaphore", kind(backend.Semaphore, backend.Exclusive, 2), ".0"},
	} {
		for how, harm := range map[string]func(*testing.T, string){"removed": remove, "replaced": replace, "moved": move} {
			t.Run(test.name+" "+how, func(t *testing.T) {
				for _, local := range []bool{true, false} {
					dir := filepath.Join(t.TempDir(), "locks")
					store := New(dir)
					store.isLocal = func() bool { return local }
					b, err := store.Open(t.Context(), time.Second, backend.ClientInfo{})
					must(t, err)
					s := b.(*session)
					defer s.Close(t.Context())
					s.want(t, test.op, backend.Granted)
					harm(t, Path(dir, test.op.Class, "x")+test.file)
					s.want(t, releaseOf(1), backend.NotHeld)
					s.want(t, releaseOf(1), backend.Released) // nobody knows it any more
					again := test.op
					again.Owner = 2
					s.want(t, again, backend.Granted)
					s.want(t, releaseOf(2), backend.Released)
				}
			})
		}
	}
}

// What the release of a lost hold finds is news for those beside it.
func TestReleaseOfLostTellsOthers(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	for owner := range uint64(2) {
		op := acquire(owner+1, "x")
		op.Class, op.Mode = backend.RWMutex, backend.Shared
		s.want(t, op, backend.Granted)
	}
	must(t, flock.Unlink(Path(dir, backend.RWMutex, "x")))
	write := acquire(1, "x")
	write.Class = backend.RWMutex
	other.want(t, write, backend.Granted)
	s.want(t, releaseOf(1), backend.NotHeld)
	if len(s.pending) != 1 || s.pending[0].Kind != backend.EventLost || s.pending[0].Owner != 2 {
		t.Errorf("events: %+v", s.pending)
	}
	// It is not granted to those who ask again, though they were granted it before.
	again := acquire(2, "x")
	again.Class, again.Mode = backend.RWMutex, backend.Shared
	s.want(t, again, backend.Failed)
	s.want(t, releaseOf(2), backend.Released)
	other.want(t, releaseOf(1), backend.Released)
}

// Nothing was held by who waited, or by nobody: nothing was lost.
func TestReleaseOfNothing(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	s.want(t, releaseOf(9), backend.Released)
	other.want(t, acquire(1, "x"), backend.Granted)
	s.want(t, waiting(1, "x"), backend.Queued)
	must(t, flock.Unlink(Path(dir, backend.Mutex, "x")))
	must(t, flock.Unlink(s.claims[1].ticket.path))
	s.want(t, releaseOf(1), backend.Released)
	other.want(t, releaseOf(1), backend.NotHeld)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
