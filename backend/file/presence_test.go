package file

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// told fails unless Inspect tells of these holders of mutexes in dir, by the
// ordinals of their grants, and of no waiters.
func told(t *testing.T, dir, name string, ordinals ...uint64) []backend.Participant {
	t.Helper()
	holders, waiters, err := New(dir).Inspect(t.Context(), backend.Mutex, name)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, h := range holders {
		got = append(got, h.Ordinal)
	}
	if fmt.Sprint(got) != fmt.Sprint(ordinals) || len(waiters) > 0 {
		t.Fatalf("%q: holders %+v, waiters %+v; want ordinals %d", name, holders, waiters, ordinals)
	}
	return holders
}

func TestRecord(t *testing.T) {
	for _, r := range []record{
		{key{backend.Mutex, [16]byte{1, 15: 2}}, true, backend.Exclusive, 1, time.Unix(1, 2), 3},
		{key{backend.Semaphore, [16]byte{}}, false, backend.Exclusive, 1<<32 - 1, time.Unix(1<<33, 999999999), backend.MaxOrdinal},
		{key{backend.RWMutex, [16]byte{}}, false, backend.Shared, 0, time.Unix(0, 0), 0},
	} {
		var b [recordSize]byte
		r.encode(&b)
		var got record
		if !got.decode(&b) || got != r {
			t.Errorf("%+v: read as %+v", r, got)
		}
		for bit := range 8 * recordSize {
			b[bit/8] ^= 1 << (bit % 8)
			if got.decode(&b) {
				t.Errorf("%+v: bit %d does not matter", r, bit)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	if new(record).decode(new([recordSize]byte)) {
		t.Error("nothing is taken for a record")
	}
}

// The format is shared with other versions of this package.
func TestRecordFormat(t *testing.T) {
	r := record{keyOf(backend.RWMutex, "x"), true, backend.Shared, 7, time.Unix(1, 0), 0x1234}
	var b [recordSize]byte
	r.encode(&b)
	const want = "2d711642b726b04401627ca9fbac32f5" + "02020200" + "07000000" + "00ca9a3b00000000" + "3412000000000000" + "9ea9b447"
	if got := hex.EncodeToString(b[:]); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestReasonIsCut(t *testing.T) {
	for _, test := range []struct{ reason, want string }{
		{"two\nlines, \x00 and \"quotes\"", "two\nlines, \x00 and \"quotes\""},
		{strings.Repeat("x", 2*maxReason), strings.Repeat("x", maxReason)},
		{"x" + strings.Repeat("ü", maxReason), "x" + strings.Repeat("ü", maxReason/2-1)},
		{strings.Repeat("\x01", maxReason), strings.Repeat("\x01", maxReason)}, // six times as long in the file
	} {
		dir := t.TempDir()
		s, err := New(dir).Open(t.Context(), time.Second, backend.ClientInfo{Host: "h", PID: 7, Reason: test.reason})
		if err != nil {
			t.Fatal(err)
		}
		r := s.(*session).do1(t, acquire(1, "x"))
		if h := told(t, dir, "x", r.Grant.Ordinal); h[0].ClientInfo != (backend.ClientInfo{Host: "h", PID: 7, Reason: test.want}) {
			t.Errorf("%+v", h)
		}
		s.Close(context.Background())
	}
}

// A presence file has room for all, and its places are used again.
func TestPresenceGrows(t *testing.T) {
	for _, local := range []bool{true, false} {
		dir := t.TempDir()
		store := New(dir)
		if !local {
			Remote(store)
		}
		b, err := store.Open(t.Context(), time.Second, backend.ClientInfo{})
		if err != nil {
			t.Fatal(err)
		}
		s := b.(*session)
		const n = 300
		owner := uint64(0)
		for range 3 {
			ordinals := make(map[string]uint64)
			for i := range n {
				owner++
				name := fmt.Sprint(i)
				ordinals[name] = s.do1(t, acquire(owner, name)).Grant.Ordinal
			}
			for name, ordinal := range ordinals {
				told(t, dir, name, ordinal)
			}
			for i := range uint64(n) {
				s.do1(t, releaseOf(owner-i))
			}
			told(t, dir, "7")
		}
		if s.presence.used != n || len(s.presence.free) != n {
			t.Errorf("%d places were made, %d are free; want %d", s.presence.used, len(s.presence.free), n)
		}
		s.Close(context.Background())
	}
}

// A presence file that is lost or spoilt costs nobody a lock, and is made anew.
func TestPresenceIsMadeAnew(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(s *session) error
	}{
		{"removed", func(s *session) error { return flock.Unlink(s.presence.path) }},
		{"removed with its directory", func(s *session) error { return os.RemoveAll(filepath.Join(s.dir, internalDir)) }},
		{"cut short", func(s *session) error { return os.Truncate(s.presence.path, 0) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s, other := openSession(t, dir), openSession(t, dir)
			first := s.do1(t, acquire(1, "x")).Grant.Ordinal
			other.want(t, waiting(1, "x"), backend.Queued)
			since, _, err := New(dir).Inspect(t.Context(), backend.Mutex, "x")
			if err != nil {
				t.Fatal(err)
			}
			if err := test.spoil(s); err != nil {
				if runtime.GOOS == "windows" {
					t.Skipf("Windows does not let it happen: %v", err)
				}
				t.Fatal(err)
			}
			second := s.do1(t, acquire(2, "y")).Grant.Ordinal // finds out
			if second == 0 {
				t.Fatal("not granted")
			}
			third := s.do1(t, acquire(3, "z")).Grant.Ordinal
			s.do1(t, releaseOf(2))
			for _, s := range []*session{s, other} {
				s.mu.Lock()
				s.now = s.now.Add(tendEvery)
				s.tend()
				s.mu.Unlock()
			}
			other.do1(t, releaseOf(1))
			again := told(t, dir, "x", first)
			if !again[0].Since.Equal(since[0].Since) {
				t.Errorf("held since %v, now since %v", since[0].Since, again[0].Since)
			}
			told(t, dir, "y")
			told(t, dir, "z", third)
			s.do1(t, releaseOf(1))
			told(t, dir, "x")
		})
	}
}

// The presence file of a dead session says nothing and is removed by the next who comes.
func TestDeadBoard(t *testing.T) {
	dir := t.TempDir()
	s := openSession(t, dir)
	r := s.do1(t, acquire(1, "x"))
	told(t, dir, "x", r.Grant.Ordinal)
	dead := filepath.Join(dir, internalDir, "1"+boardSuffix)
	text, err := os.ReadFile(s.presence.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead, text, 0o666); err != nil {
		t.Fatal(err)
	}
	told(t, dir, "x", r.Grant.Ordinal)
	openSession(t, dir)
	if _, err := os.Lstat(dead); !os.IsNotExist(err) {
		t.Error("the board of a dead session is still there:", err)
	}
	told(t, dir, "x", r.Grant.Ordinal)
}

// A hold that is lost is none.
func TestLostIsNotTold(t *testing.T) {
	dir := t.TempDir()
	s := openSession(t, dir)
	r := s.do1(t, acquire(1, "x"))
	told(t, dir, "x", r.Grant.Ordinal)
	if err := flock.Unlink(Path(dir, backend.Mutex, "x")); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.verify(s.claims[1].lock)
	s.mu.Unlock()
	told(t, dir, "x")
	s.do1(t, releaseOf(1))
	told(t, dir, "x")
	if len(s.presence.free) != s.presence.used {
		t.Error("a place is lost")
	}
}
