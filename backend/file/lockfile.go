package file

import (
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
	"github.com/dlock-go/dlock/backend/file/internal/notify"
)

// A lockfile is a file that a session locks, now and then or just now. Between
// two uses it keeps the file open and watched, so that the next one costs no
// more than the locking and a look whether the path still names the file.
type lockfile struct {
	s       *session
	lock    *lock
	path    string
	slot    bool   // of a semaphore: only worth watching while it is locked
	number  uint32 // of a slot
	passing bool   // not worth keeping between uses

	// The file that path named last, or zero when not known. An identity may become
	// that of another file once nobody has this one open: it counts while there is a
	// spare handle or a hold.
	id      flock.Identity
	used    time.Time    // when that file was last marked as used
	spare   flock.Handle // an open, unlocked handle of it, or noHandle
	watch   notify.Watch // of it
	watched bool
	holds   int // of this session
}

// A hold is a lock on a file.
type hold struct {
	file *lockfile
	h    flock.Handle
	id   flock.Identity // the locked file; not file.id when that was replaced since
}

// order is what makes a release synchronize before the grants after it, for the sessions
// of one process: the locks of files say nothing to Go's memory model.
var order atomic.Uint64

// markEvery is how often a file in use is marked as used.
const markEvery = 10 * time.Minute

// try locks the file in mode. It reports false when somebody else's lock is in
// the way.
func (f *lockfile) try(mode backend.Mode) (hold, bool, error) {
	lock := flock.Handle.TryLock
	if mode == backend.Shared {
		lock = flock.Handle.TryRLock
	}
	for range patience {
		h, err := f.borrow()
		if err != nil {
			return hold{}, false, err
		}
		ok, err := lock(h)
		if err != nil {
			h.Close()
			f.forget()
			return hold{}, false, &fs.PathError{Op: "lock", Path: f.path, Err: err}
		}
		if ok || !f.slot {
			f.attend()
		}
		// Whatever we were told of the file counts only if the path still names
		// it: a lock on a removed file excludes nobody. The watch is there
		// already, so a removal from now on is noticed.
		id, err := flock.IdentityAt(f.path)
		if err != nil {
			h.Close()
			f.forget()
			return hold{}, false, &fs.PathError{Op: "stat", Path: f.path, Err: err}
		}
		if id != f.id {
			h.Close()
			f.forget()
			continue
		}
		if !ok {
			f.keepSpare(h, id)
			return hold{}, false, nil
		}
		order.Add(1)
		f.mark(h)
		f.holds++
		return hold{f, h, id}, true, nil
	}
	return hold{}, false, &fs.PathError{Op: "lock", Path: f.path, Err: errRestless}
}

// borrow returns an open handle of the file: the spare one if there is one.
func (f *lockfile) borrow() (flock.Handle, error) {
	if h := f.spare; h != flock.None {
		f.spare = flock.None
		return h, nil
	}
	if f.holds == 0 {
		f.forget() // whatever it was, for nothing has kept it
	}
	h, err := create(f.path, true)
	if err != nil {
		return flock.None, err
	}
	id, used, err := h.Identity()
	if err != nil {
		h.Close()
		return flock.None, &fs.PathError{Op: "stat", Path: f.path, Err: err}
	}
	if id != f.id {
		f.forget()
		f.id, f.used = id, used
	}
	return h, nil
}

// keepSpare takes an unlocked handle of the file id as the spare one, or closes it.
func (f *lockfile) keepSpare(h flock.Handle, id flock.Identity) {
	if f.spare != flock.None || id != f.id {
		h.Close()
		return
	}
	f.spare = h
}

// attend watches the file, if it can.
func (f *lockfile) attend() {
	if !f.watched {
		f.watch, f.watched = f.s.attend(f.path, notify.Everybody, subject{file: f})
	}
}

// listen has whoever waits hear of the file as if it had been tried: when its holder
// dies, or whoever has it open because he waits, too. So those who are next find out at
// once that others before them are gone. It is best effort, for they look in any case.
func (f *lockfile) listen() {
	if id, err := flock.IdentityAt(f.path); err == nil && id == f.id && (f.spare != flock.None || f.holds > 0) {
		f.attend()
		return
	}
	h, err := f.borrow()
	if err != nil {
		return
	}
	f.attend()
	if id, err := flock.IdentityAt(f.path); err == nil && id == f.id {
		f.keepSpare(h, id)
		return
	}
	h.Close()
	f.forget()
}

// call wakes all who listen, in place of a ring that needs a right which is missing.
func (f *lockfile) call() {
	if h, err := flock.Open(f.path, flock.ToRead); err == nil {
		h.Close()
	}
}

// mark keeps the janitors away from a file that is in use.
func (f *lockfile) mark(h flock.Handle) {
	if f.s.now.Sub(f.used) < markEvery {
		return
	}
	f.used = f.s.now
	if h.Linked() {
		return
	}
	_ = h.Touch(f.s.now) // another user's file stays unmarked: it is made anew if need be
}

// forget lets go of the file that path named, but for the holds on it.
func (f *lockfile) forget() {
	f.rest()
	if f.watched {
		f.s.ignore(f.watch)
		f.watched = false
	}
	if f.id != (flock.Identity{}) && f.holds > 0 {
		f.s.verify(f.lock)
	}
	f.id = flock.Identity{}
}

// rest closes the spare handle.
func (f *lockfile) rest() bool {
	if f.spare == flock.None {
		return false
	}
	f.spare.Close()
	f.spare = flock.None
	return true
}

// release unlocks the file.
func (h hold) release() {
	order.Add(1)
	if h.file.passing || h.h.Unlock() != nil {
		h.abandon() // which unlocks it in any case
		return
	}
	h.file.holds--
	h.file.keepSpare(h.h, h.id)
}

// abandon unlocks a file without keeping it open.
func (h hold) abandon() {
	order.Add(1)
	h.file.holds--
	h.h.Close()
	if h.file.passing {
		h.file.forget()
		delete(h.file.lock.pool.slots, h.file.number)
	}
}

// stands reports whether the locked file is the one that its path names. It errs
// on the side of the holder: what cannot be looked at has not been replaced.
func (h hold) stands() bool {
	id, err := flock.IdentityAt(h.file.path)
	return err != nil || id == h.id
}

func lostError(path string) error {
	return fmt.Errorf("the lock file %s was removed or replaced", path)
}
