package file

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// fairness is how the queue of a reader-writer lock keeps writers from starving the
// readers. It stands in a file in the queue's directory that only the holder of
// the write lock writes.
//
// Each writer that is granted the lock while readers wait counts as having passed
// them. The last of [backend.MaxWriters] sets until to where the queue then ends:
// the readers that came before go before any writer, those that come later do
// not, so readers cannot starve the writers in return. Where none of those waits any
// more whom the last writer passed, they have got in by themselves or left, and the count
// begins anew.
type fairness struct {
	until  uint64 // readers with smaller tickets go first
	passed uint64 // writers in a row that have passed a reader, since until
	last   uint64 // the greatest ticket of a reader whom the last of them passed
}

const turnName = "turn"

func (q queue) turnPath() string { return filepath.Join(q.dir, turnName) }

// turnOfReaders returns the number below which readers go before writers. It is
// only looked up where both wait.
func (q queue) turnOfReaders(places []place) uint64 {
	if !waits(places, backend.Shared) || !waits(places, backend.Exclusive) {
		return 0
	}
	h, err := flock.Open(q.turnPath(), flock.ToRead)
	if err != nil {
		return 0
	}
	defer h.Close()
	return readTurn(h).until
}

func waits(places []place, mode backend.Mode) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p.mode == mode })
}

func readTurn(h flock.Handle) fairness {
	var b [24]byte
	if n, _ := h.ReadAt(b[:], 0); n < 16 { // last may be missing.
		return fairness{}
	}
	return fairness{binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])}
}

// pass counts a writer that was granted the lock; its own ticket no longer
// stands. It is best effort: what it protects is fairness, not exclusion.
func (q queue) pass(c *clock, now time.Time) {
	places, err := q.places()
	if err != nil {
		return
	}
	var first, last uint64 // of the readers who wait
	for _, p := range places {
		if p.mode == backend.Shared {
			if last = p.number; first == 0 && alive(p.path) {
				first = p.number
			}
		}
	}
	readers := first > 0
	h, err := flock.Open(q.turnPath(), flock.Existing)
	if readers && errors.Is(err, fs.ErrNotExist) {
		h, err = flock.Create(q.turnPath(), true)
	}
	if err != nil {
		return // nobody to pass, and no count of earlier ones to end
	}
	defer h.Close()
	if h.Linked() {
		return
	}
	was := readTurn(h)
	is := was
	if first > is.last {
		is.passed = 0 // Nobody is left who was passed before.
	}
	is.last = last
	if is.passed++; !readers {
		is.passed = 0
	} else if is.passed >= backend.MaxWriters {
		if n, err := c.next(now); err == nil {
			is = fairness{until: n}
		}
	}
	if is != was {
		var b [24]byte
		binary.NativeEndian.PutUint64(b[:], is.until)
		binary.NativeEndian.PutUint64(b[8:], is.passed)
		binary.NativeEndian.PutUint64(b[16:], is.last)
		_, _ = h.WriteAt(b[:], 0)
	}
}
