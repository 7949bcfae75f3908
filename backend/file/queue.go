package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// A queue is the directory of the tickets of those who wait for one lock. It
// exists while somebody waits, and for a moment more, so that one look tells
// whether the lock is contended at all.
//
// The order of a queue is that of its tickets, except that a reader-writer lock
// prefers writers within the bounds that [fairness] sets. What follows from it:
//
//   - Nobody tries the lock who is not admitted: a newcomer only when nobody
//     waits whom it would overtake.
//   - Who gives the lock back looks for waiters after that, and who has taken a
//     place tries the lock after that; so one of them sees the other.
//   - Who leaves a queue in which others waited for it rings those who are next.
type queue struct{ dir string }

// A place is a ticket as the others see it; its owner may be dead.
type place struct {
	number uint64
	mode   backend.Mode
	path   string
}

// newcomer is the number of those who have no ticket: behind all who have one.
const newcomer = ^uint64(0)

// errGone says that a ticket is no longer in its queue.
var errGone = errors.New("place in the queue is gone")

// exists reports whether there may be somebody in the queue. It opens no file, for
// there may be no descriptor left.
func (q queue) exists() (bool, error) {
	id, err := again(func() (flock.Identity, error) { return flock.IdentityAt(q.dir) })
	if err != nil {
		err = &fs.PathError{Op: "stat", Path: q.dir, Err: err}
	}
	return id != flock.Identity{}, err
}

// places returns the tickets in order, or [fs.ErrNotExist] where there is no queue.
func (q queue) places() ([]place, error) {
	names, err := again(func() ([]string, error) { return flock.Names(q.dir) })
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fs.ErrNotExist
		}
		return nil, &fs.PathError{Op: "read", Path: q.dir, Err: err}
	}
	slices.Sort(names)
	places := make([]place, 0, len(names))
	for _, name := range names {
		if number, mode, ok := parseTicketName(name); ok {
			places = append(places, place{number, mode, q.dir + string(filepath.Separator) + name})
		}
	}
	return places, nil
}

// admits reports whether the one with that ticket, or a newcomer, may try the
// lock in mode now. It returns errGone when the ticket is not there.
func (q queue) admits(number uint64, mode backend.Mode) (bool, error) {
	places, err := q.places()
	if err != nil && err != fs.ErrNotExist {
		return false, err
	}
	if number != newcomer && !slices.ContainsFunc(places, func(p place) bool { return p.number == number }) {
		return false, errGone
	}
	until := q.turnOfReaders(places)
	if mode == backend.Shared && number < until {
		return true, nil
	}
	for _, p := range places {
		var before bool
		switch {
		case p.number == number:
		case p.mode == backend.Shared:
			// A writer lets those readers go first whose turn it is. A writer that
			// has not even queued overtakes nobody.
			before = mode == backend.Exclusive && (p.number < until || number == newcomer)
		default:
			// A reader lets every writer go first.
			before = mode == backend.Shared || p.number < number
		}
		if before && alive(p.path) {
			return false, nil
		}
	}
	return true, nil
}

// ring wakes those who may try the lock, now that it may be free. It tells whether there
// is anybody: absent is of a queue in which nobody waits. It spares itself the look at
// the ticket that its caller has parked, if any. Errors are passed over: who is not rung
// polls.
func (q queue) ring(parked *ticket) liveness {
	places, err := q.others(parked)
	if err != nil {
		return unheard
	}
	return q.rouse(places)
}

// others is places without the ticket that its caller has parked, if any.
func (q queue) others(parked *ticket) ([]place, error) {
	places, err := q.places()
	if parked != nil {
		places = slices.DeleteFunc(places, func(p place) bool { return p.number == parked.number })
	}
	return places, err
}

// rouse rings those of the places who may try the lock, and tells whether it is
// anybody, and whether one of them does not hear it.
func (q queue) rouse(places []place) (found liveness) {
	if until := q.turnOfReaders(places); until > 0 {
		for _, p := range places {
			if p.mode == backend.Shared && p.number < until {
				found = max(found, ring(p))
			}
		}
	}
	if found != absent {
		return found
	}
	for _, p := range places {
		if p.mode == backend.Exclusive {
			if found = ring(p); found != absent {
				return found
			}
		}
	}
	for _, p := range places {
		if p.mode == backend.Shared {
			found = max(found, ring(p))
		}
	}
	return found
}

// join makes a ticket at the end of the queue, and the queue if need be.
func (q queue) join(c *clock, now time.Time, mode backend.Mode) (*ticket, error) {
	refusal := errRestless
	for range patience {
		number, err := c.next(now)
		if err != nil {
			return nil, err
		}
		t, ok, err := newTicket(q.dir, number, mode)
		switch {
		case ok:
			return t, nil
		case errors.Is(err, fs.ErrNotExist):
			if err := makeDir(q.dir); err != nil && !flock.BeingRemoved(err) {
				return nil, err
			}
		case flock.BeingRemoved(err):
			refusal = err
			time.Sleep(removal)
		case err != nil && !errors.Is(err, fs.ErrExist):
			return nil, err
		}
	}
	return nil, &fs.PathError{Op: "queue", Path: q.dir, Err: refusal}
}

// removal is about how long a directory can be in removal.
const removal = time.Millisecond

// again looks at a queue until that is not just being removed.
func again[T any](look func() (T, error)) (found T, err error) {
	for range patience {
		if found, err = look(); err == nil || !flock.BeingRemoved(err) {
			break
		}
		time.Sleep(removal)
	}
	return found, err
}

// remove ends the queue if nobody is in it.
func (q queue) remove() {
	places, err := q.places()
	if err != nil || slices.ContainsFunc(places, func(p place) bool { return alive(p.path) }) {
		return
	}
	_ = os.Remove(q.turnPath())
	_ = os.Remove(q.dir) // fails when somebody has come in between
}
