package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

func openSession(t *testing.T, dir string) *session {
	t.Helper()
	s, err := New(dir).Open(t.Context(), time.Second, backend.ClientInfo{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s.(*session)
}

func (s *session) do1(t *testing.T, op backend.Op) backend.Result {
	t.Helper()
	r, _, err := s.Apply(t.Context(), []backend.Op{op})
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}

func acquire(owner uint64, name string) backend.Op {
	return backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Owner: owner, Name: name}
}

// An error of the locking is neither success nor "busy".
func TestLockError(t *testing.T) {
	s := openSession(t, t.TempDir())
	s.do1(t, acquire(1, "x"))
	s.do1(t, backend.Op{Do: backend.Release, Owner: 1})
	f := s.lockOf(backend.Mutex, "x").file
	f.spare.Close()
	f.spare = flock.Handle(1 << 20) // no such descriptor
	wrong := syscall.EBADF
	if runtime.GOOS == "windows" {
		wrong = 6 // ERROR_INVALID_HANDLE
	}
	r := s.do1(t, acquire(2, "x"))
	if e, ok := errors.AsType[*fs.PathError](r.Err); r.State != backend.Refused || !ok || e.Path != f.path || !errors.Is(r.Err, wrong) {
		t.Errorf("%+v", r)
	}
	if len(s.claims) != 0 {
		t.Error("something was taken")
	}
	if r := s.do1(t, acquire(3, "x")); r.State != backend.Granted {
		t.Errorf("%+v", r)
	}
}

// Who waits keeps the place when a try fails for a reason that passes.
func TestRefusedInQueue(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	other.want(t, acquire(1, "x"), backend.Granted)
	s.want(t, waiting(1, "x"), backend.Queued)
	number := s.claims[1].ticket.number
	f := s.claims[1].lock.file
	f.spare.Close()
	f.spare = flock.Handle(1 << 20) // no such descriptor
	if r := s.do1(t, waiting(1, "x")); r.State != backend.Refused || r.Err == nil {
		t.Errorf("%+v", r)
	}
	if c := s.claims[1]; c == nil || c.ticket == nil || c.ticket.number != number {
		t.Error("the place is gone")
	}
	s.want(t, waiting(1, "x"), backend.Queued)
	s.want(t, releaseOf(1), backend.Released)
}

// A lock on a file that the path no longer names is none.
func TestReplacedSpare(t *testing.T) {
	dir := t.TempDir()
	s := openSession(t, dir)
	s.do1(t, acquire(1, "x"))
	s.do1(t, backend.Op{Do: backend.Release, Owner: 1})
	path := Path(dir, backend.Mutex, "x")
	if err := flock.Unlink(path); err != nil {
		t.Fatal(err)
	}
	if r := s.do1(t, acquire(2, "x")); r.State != backend.Granted {
		t.Fatalf("%+v", r)
	}
	other := openSession(t, dir)
	if r := other.do1(t, acquire(1, "x")); r.State != backend.Busy {
		t.Fatalf("%+v", r)
	}
}

// The locks that stay open are few.
func TestRecentLocks(t *testing.T) {
	s := openSession(t, t.TempDir())
	for i := range uint64(3 * keep) {
		s.do1(t, acquire(i+1, string(rune(0x1000+i))))
		s.do1(t, backend.Op{Do: backend.Release, Owner: i + 1})
	}
	spare, watched := 0, 0
	for _, l := range s.locks {
		if l.file.spare != flock.None {
			spare++
		}
		if l.file.watched {
			watched++
		}
	}
	if len(s.locks) != keep || spare != keep || len(s.subjects) != watched {
		t.Errorf("%d locks, %d handles, %d watches, %d of locks; want %d", len(s.locks), spare, len(s.subjects), watched, keep)
	}
}

// A semaphore that once was large, or had many users, leaves no more than a small one.
func TestSlotsAreForgotten(t *testing.T) {
	s := openSession(t, t.TempDir())
	use := func(limit uint32) int {
		for i := range uint64(limit) {
			op := acquire(i+1, "x")
			op.Class, op.Limit = backend.Semaphore, limit
			s.want(t, op, backend.Granted)
		}
		for i := range uint64(limit) {
			s.want(t, releaseOf(i+1), backend.Released)
		}
		return len(s.lockOf(backend.Semaphore, "x").pool.slots)
	}
	if n := use(100); n != keptSlots {
		t.Errorf("%d slots are kept of 100, want %d", n, keptSlots)
	}
	if n := use(2); n != 2 {
		t.Errorf("%d slots are kept of 2", n)
	}
}

// Nothing stays of an uncontended, nor in the end of a contended lock, but its file.
func TestTraces(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	s.do1(t, acquire(1, "x"))
	other.want(t, waiting(1, "x"), backend.Queued)
	other.want(t, waiting(2, "x"), backend.Queued)
	other.want(t, releaseOf(2), backend.Released)
	s.want(t, releaseOf(1), backend.Released)
	other.want(t, waiting(1, "x"), backend.Granted)
	other.want(t, releaseOf(1), backend.Released)
	for _, s := range []*session{other, s} {
		s.mu.Lock()
		for range 2 { // one removes the parked ticket, another the queue
			s.now = s.now.Add(time.Minute)
			s.tend()
		}
		s.mu.Unlock()
		if len(s.deserted)+len(s.parked)+len(s.retries)+len(s.claims) != 0 || len(s.subjects) > 1 {
			t.Error("the session remembers what has ended")
		}
	}
	base := filepath.Base(Path(dir, backend.Mutex, "x"))
	presences := []string{".dlock/" + filepath.Base(s.presence.path), ".dlock/" + filepath.Base(other.presence.path)}
	left(t, dir, append(presences, ".dlock", ".dlock/clock", ".dlock/format", base)...)
	s.Close(t.Context())
	other.Close(t.Context())
	left(t, dir, ".dlock", ".dlock/clock", ".dlock/format", base)
}

// left fails unless exactly these files and directories are in dir.
func left(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if path != "." {
			got = append(got, path)
		}
		return err
	})
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
}
