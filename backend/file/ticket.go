package file

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
	"github.com/dlock-go/dlock/backend/file/internal/notify"
)

// A ticket is a place in a queue: a file whose name tells the place, and which
// its owner keeps locked, so that a crash gives it up.
//
// When its owner has been served, it is parked: the file says so, and is kept for
// the next time, when it is renamed. To remove it and make another costs more, on
// a disk, than all the rest of handing a lock over.
type ticket struct {
	number uint64
	path   string
	h      flock.Handle
	watch  notify.Watch
	heard  bool // the watch is there
}

// ticketName returns the name of a ticket's file. Names sort as numbers do.
func ticketName(number uint64, mode backend.Mode) string {
	if mode == backend.Shared {
		return fmt.Sprintf("%013x.shared", number)
	}
	return fmt.Sprintf("%013x.exclusive", number)
}

func parseTicketName(name string) (number uint64, mode backend.Mode, ok bool) {
	if len(name) < 14 || name[13] != '.' {
		return 0, 0, false
	}
	switch name[14:] {
	case "shared":
		mode = backend.Shared
	case "exclusive":
		mode = backend.Exclusive
	default:
		return 0, 0, false
	}
	number, err := strconv.ParseUint(name[:13], 16, 64)
	return number, mode, err == nil
}

// newTicket makes and locks the ticket of that number in a queue's directory. It
// reports false when another session found it in between, took it for a dead one
// and removed it: the number is then used up.
func newTicket(dir string, number uint64, mode backend.Mode) (*ticket, bool, error) {
	t := &ticket{number: number, path: filepath.Join(dir, ticketName(number, mode))}
	h, err := flock.Open(t.path, flock.New)
	if err != nil {
		return nil, false, &fs.PathError{Op: "open", Path: t.path, Err: err}
	}
	t.h = h
	locked, err := h.TryLock()
	if err != nil {
		t.remove()
		return nil, false, &fs.PathError{Op: "lock", Path: t.path, Err: err}
	}
	h.Share(dir, false)
	// It was to be seen before it was locked. Who locks it for a moment, to learn
	// whether it is dead, removes it before letting go: so once it is ours and
	// still there, it is there for good.
	id, _, err := h.Identity()
	now, err2 := flock.IdentityAt(t.path)
	if !locked || err != nil || err2 != nil || id != now {
		t.remove()
		return nil, false, nil
	}
	return t, true, nil
}

// What a ticket's file says. An empty one belongs to somebody who waits. Behind
// that stands the number of the place that was rung last.
const (
	waitsText  = "w"
	parkedText = "p"
	knockAt    = int64(len(waitsText))
)

func (t *ticket) write(text string) error {
	_, err := t.h.WriteAt([]byte(text), 0)
	return err
}

// park takes the ticket out of the queue.
func (t *ticket) park() error { return t.write(parkedText) }

// reuse puts a parked ticket at the end of the queue.
func (t *ticket) reuse(number uint64, mode backend.Mode) error {
	path := filepath.Join(filepath.Dir(t.path), ticketName(number, mode))
	// It waits only once it stands at the end, lest it overtake.
	if err := os.Rename(t.path, path); err != nil {
		return err
	}
	t.number, t.path = number, path
	return t.write(waitsText)
}

// rung reports whether the ticket was rung in its present place. Who rings may have
// looked at the queue when it stood in another one.
func (t *ticket) rung() bool {
	var number [8]byte
	n, err := t.h.ReadAt(number[:], knockAt)
	return err == nil && n == len(number) && binary.NativeEndian.Uint64(number[:]) == t.number
}

// remove gives the place up.
func (t *ticket) remove() {
	_ = os.Remove(t.path) // before it is unlocked, lest it be found dead
	t.h.Close()
}

// liveness is what is known of the owner of a ticket or of a presence file.
type liveness int

const (
	absent  liveness = iota // dead, or does not wait
	rung                    // alive, and has been woken if that was asked for
	unheard                 // alive, for all we know, and cannot be woken by us
)

// alive reports whether the owner of the ticket, or the presence file, at path lives, and
// waits. What belonged to a dead one it removes.
func alive(path string) bool { return inspect(path, flock.ToRead, 0) != absent }

// ring wakes the owner of a place: a file that was open for writing and is closed is an
// event for those who watch.
func ring(p place) liveness { return inspect(p.path, flock.Existing, p.number) }

func inspect(path string, how int, knock uint64) liveness {
	found := rung
	h, err := flock.Open(path, how)
	if err != nil && how != flock.ToRead && flock.Unreadable(err) {
		found = unheard
		h, err = flock.Open(path, flock.ToRead) // another user's
	}
	switch {
	case err == nil:
	case os.IsNotExist(err):
		return absent
	case flock.Irregular(err):
		_ = os.Remove(path) // nobody's
		return absent
	case flock.Unreadable(err) && !lockedUnread(path):
		return absent
	default:
		return unheard
	}
	defer h.Close()
	// Shared, so that those who inspect do not take each other for the owner.
	if dead, _ := h.TryRLock(); dead {
		_ = os.Remove(path)
		return absent
	}
	var text [1]byte
	if _, _ = h.ReadAt(text[:], 0); string(text[:]) == parkedText {
		return absent
	}
	if how == flock.Existing && found == rung && !h.Linked() {
		var number [8]byte
		binary.NativeEndian.PutUint64(number[:], knock)
		_, _ = h.WriteAt(number[:], knockAt) // who finds no number looks who is next
	}
	return found
}

// parkedFor is how long a ticket is kept after its use.
const parkedFor = time.Second

// park keeps the ticket of a claim that was served, for the next claim on the lock
// that has to wait. One is enough for each lock.
func (s *session) park(l *lock, t *ticket) {
	if l.parked != nil || t.park() != nil {
		t.remove()
		return
	}
	l.parked = t
	s.parked[l] = s.now
}

// unpark removes the lock's parked ticket.
func (s *session) unpark(l *lock) {
	if l.parked != nil {
		l.parked.remove()
		l.parked = nil
		s.deserted[l.queue] = s.now
	}
	delete(s.parked, l)
}

// newPlace returns a ticket at the end of the lock's queue: the parked one if it is
// still there.
func (s *session) newPlace(l *lock, mode backend.Mode) (*ticket, error) {
	if t := l.parked; t != nil {
		l.parked = nil
		delete(s.parked, l)
		if number, err := s.clock.next(s.now); err == nil && t.reuse(number, mode) == nil {
			return t, nil
		}
		t.remove()
	}
	return l.queue.join(s.clock, s.now, mode)
}
