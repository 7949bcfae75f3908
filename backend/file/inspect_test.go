package file

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// Whom one finds to hold a lock did so at different moments. Those who cannot have
// held it together are not told together.
func TestHolders(t *testing.T) {
	const w, r = backend.Exclusive, backend.Shared
	for _, test := range []struct {
		class backend.Class
		limit uint32
		modes []backend.Mode // of holders with the ordinals 1, 2, …
		want  string
	}{
		{backend.Mutex, 1, nil, "[]"},
		{backend.Mutex, 1, []backend.Mode{w}, "[1]"},
		{backend.Mutex, 1, []backend.Mode{w, w, w}, "[3]"},
		{backend.RWMutex, 0, []backend.Mode{r, r, r}, "[1 2 3]"},
		{backend.RWMutex, 0, []backend.Mode{r, w}, "[2]"},
		{backend.RWMutex, 0, []backend.Mode{r, w, r, r}, "[3 4]"},
		{backend.RWMutex, 0, []backend.Mode{w, w}, "[2]"},
		{backend.Semaphore, 3, []backend.Mode{w, w}, "[1 2]"},
		{backend.Semaphore, 3, []backend.Mode{w, w, w, w}, "[2 3 4]"},
		{backend.Semaphore, 1<<32 - 1, []backend.Mode{w, w}, "[1 2]"},
	} {
		var f standings
		for i := len(test.modes) - 1; i >= 0; i-- {
			f = append(f, standing{record: record{
				key: key{class: test.class}, held: true, mode: test.modes[i], limit: test.limit, number: uint64(i + 1),
			}})
		}
		var got []uint64
		for _, h := range f.holders() {
			got = append(got, h.Ordinal)
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%v %v: %d, want %s", test.class, test.modes, got, test.want)
		}
	}
}

// The waiters stand in the order in which they are served: writers first, but for
// the readers whose turn it is.
func TestWaitersInTurn(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	op := func(owner uint64, mode backend.Mode) backend.Op {
		return backend.Op{Do: backend.Acquire, Class: backend.RWMutex, Mode: mode, Limit: 1, Wait: true, Owner: owner, Name: "x"}
	}
	s.want(t, op(1, backend.Exclusive), backend.Granted)
	var until uint64
	for owner, mode := range []backend.Mode{backend.Shared, backend.Exclusive, backend.Shared, backend.Exclusive, backend.Shared} {
		other.want(t, op(uint64(owner+1), mode), backend.Queued)
		if owner == 2 {
			until = other.claims[3].ticket.number + 1
		}
	}
	order := func() string {
		_, waiters, err := New(dir).Inspect(t.Context(), backend.RWMutex, "x")
		if err != nil {
			t.Fatal(err)
		}
		var got []backend.Mode
		for _, w := range waiters {
			got = append(got, w.Mode)
		}
		return fmt.Sprint(got)
	}
	if got := order(); got != "[1 1 2 2 2]" {
		t.Error(got)
	}
	q := s.lockOf(backend.RWMutex, "x").queue
	var word [16]byte
	binary.NativeEndian.PutUint64(word[:], until)
	if err := os.WriteFile(q.turnPath(), word[:], 0o666); err != nil {
		t.Fatal(err)
	}
	if got := order(); got != "[2 2 1 1 2]" {
		t.Error(got)
	}
}

// To look leaves no trace, not even a directory.
func TestInspectWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	told(t, dir, "x")
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Error("the directory was made")
	}
	s := openSession(t, dir)
	told(t, dir, "x")
	left(t, dir, ".dlock", ".dlock/clock", ".dlock/format", ".dlock/"+filepath.Base(s.presence.path))
	must(t, flock.Unlink(formatPath(dir)))
	told(t, dir, "x")
	left(t, dir, ".dlock", ".dlock/clock", ".dlock/"+filepath.Base(s.presence.path))
}
