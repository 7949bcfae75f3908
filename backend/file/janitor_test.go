package file

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

func TestJanitor(t *testing.T) {
	dir := t.TempDir()
	s := openSession(t, dir)
	semaphore := func(owner uint64, name string) backend.Op {
		op := acquire(owner, name)
		op.Class = backend.Semaphore
		return op
	}
	for _, op := range []backend.Op{
		acquire(1, "held"), acquire(2, "idle"), acquire(3, "recent"), semaphore(4, "held"), semaphore(5, "idle"),
	} {
		if r := s.do1(t, op); r.State != backend.Granted {
			t.Fatalf("%+v", r)
		}
	}
	for _, owner := range []uint64{2, 3, 5} {
		s.do1(t, backend.Op{Do: backend.Release, Owner: owner})
	}
	stranger := filepath.Join(dir, "notes-00.mutex")
	probe := filepath.Join(dir, flock.AsidePrefix+"1")
	queue := filepath.Join(dir, internalDir, filepath.Base(Path(dir, backend.Mutex, "idle"))+queueSuffix)
	for _, path := range []string{stranger, probe} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(queue, 0o777); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(queue, ticketName(1, backend.Exclusive))
	if err := os.WriteFile(dead, nil, 0o666); err != nil {
		t.Fatal(err)
	}

	old := time.Now().Add(-2 * idleFor)
	gone := map[string]bool{
		Path(dir, backend.Mutex, "idle"):         true,
		Path(dir, backend.Semaphore, "idle"):     true,
		Path(dir, backend.Semaphore, "idle.0"):   true,
		Path(dir, backend.Mutex, "held"):         false,
		Path(dir, backend.Semaphore, "held"):     false,
		stranger:                                 false,
		probe:                                    true,
		queue:                                    true,
		filepath.Join(dir, internalDir, "clock"): false,
	}
	delete(gone, Path(dir, backend.Semaphore, "idle.0"))
	gone[slotPath(Path(dir, backend.Semaphore, "idle"), 0)] = true
	gone[slotPath(Path(dir, backend.Semaphore, "held"), 0)] = false
	for path := range gone {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	gone[Path(dir, backend.Mutex, "recent")] = false

	other := openSession(t, dir) // sweeps
	for range 3 {
		other.mu.Lock()
		other.now = other.now.Add(tendEvery)
		other.tend()
		other.mu.Unlock()
	}
	for path, want := range gone {
		if _, err := os.Lstat(path); os.IsNotExist(err) != want {
			t.Errorf("%s: gone: %v, want %v", path, !want, want)
		}
	}
	// Who had it open goes on with a new one.
	if r := s.do1(t, acquire(6, "idle")); r.State != backend.Granted {
		t.Errorf("%+v", r)
	}
	if r := other.do1(t, acquire(1, "idle")); r.State != backend.Busy {
		t.Errorf("%+v", r)
	}
}

// Sessions that end before they have swept all sweep a part, so that short ones leave
// no more and more behind.
func TestJanitorOfShortSessions(t *testing.T) {
	dir := t.TempDir()
	s := openSession(t, dir)
	const n = 4 * glanceFiles
	for owner := range uint64(n + 1) {
		s.want(t, acquire(owner+1, strconv.FormatUint(owner, 10)), backend.Granted)
		if owner < n {
			s.want(t, releaseOf(owner+1), backend.Released)
		}
	}
	old := time.Now().Add(-2 * idleFor)
	files, err := filepath.Glob(filepath.Join(dir, "*.mutex"))
	must(t, err)
	for _, path := range files {
		must(t, os.Chtimes(path, old, old))
	}
	sessions := 5
	if runtime.GOOS == "windows" {
		sessions = 100 // Those that are open are set aside, and met again.
	}
	for range sessions {
		openSession(t, dir).Close(t.Context())
		files, err = filepath.Glob(filepath.Join(dir, "*.mutex"))
		must(t, err)
		files = slices.DeleteFunc(files, func(path string) bool { // Windows keeps the names of what is open.
			return strings.HasPrefix(filepath.Base(path), flock.AsidePrefix)
		})
		if len(files) == 1 {
			return
		}
	}
	t.Errorf("%d lock files are left after %d sessions, want the one that is held", len(files), sessions)
}

// A file in use is marked, though not each time.
func TestMark(t *testing.T) {
	dir := t.TempDir()
	path := Path(dir, backend.Mutex, "x")
	modified := func() time.Time {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	use := func(s *session, owner uint64) {
		s.do1(t, acquire(owner, "x"))
		s.do1(t, backend.Op{Do: backend.Release, Owner: owner})
	}
	s := openSession(t, dir)
	use(s, 1)
	first := modified()
	use(s, 2)
	if !modified().Equal(first) {
		t.Error("marked twice in a moment")
	}
	old := time.Now().Add(-2 * markEvery)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	s = openSession(t, dir)
	use(s, 1)
	if time.Since(modified()) > markEvery {
		t.Error("not marked")
	}
}
