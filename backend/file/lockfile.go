package file

import (
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
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
	id      identity
	used    time.Time // when that file was last marked as used
	spare   handle    // an open, unlocked handle of it, or noHandle
	watch   watch     // of it
	watched bool
	holds   int // of this session
}

// A hold is a lock on a file.
type hold struct {
	file *lockfile
	h    handle
	id   identity // the locked file; not file.id when that was replaced since
}

// order is what makes a release synchronize before the grants after it, for the sessions
// of one process: the locks of files say nothing to Go's memory model.
var order atomic.Uint64

// markEvery is how often a file in use is marked as used.
const markEvery = 10 * time.Minute

// try locks the file in mode. It reports false when somebody else's lock is in
// the way.
func (f *lockfile) try(mode backend.Mode) (hold, bool, error) {
	for range patience {
		h, err := f.borrow()
		if err != nil {
			return hold{}, false, err
		}
		ok, err := h.tryLock(mode)
		if err != nil {
			h.close()
			f.forget()
			return hold{}, false, &fs.PathError{Op: "lock", Path: f.path, Err: err}
		}
		if ok || !f.slot {
			f.attend()
		}
		// Whatever we were told of the file counts only if the path still names
		// it: a lock on a removed file excludes nobody. The watch is there
		// already, so a removal from now on is noticed.
		id, err := identityAt(f.path)
		if err != nil {
			h.close()
			f.forget()
			return hold{}, false, &fs.PathError{Op: "stat", Path: f.path, Err: err}
		}
		if id != f.id {
			h.close()
			f.forget()
			continue
		}
		if !ok {
			f.giveBack(h, id)
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
func (f *lockfile) borrow() (handle, error) {
	if h := f.spare; h != noHandle {
		f.spare = noHandle
		return h, nil
	}
	if f.holds == 0 {
		f.forget() // whatever it was, for nothing has kept it
	}
	h, err := create(f.path, true)
	if err != nil {
		return noHandle, err
	}
	id, used, err := h.identity()
	if err != nil {
		h.close()
		return noHandle, &fs.PathError{Op: "stat", Path: f.path, Err: err}
	}
	if id != f.id {
		f.forget()
		f.id, f.used = id, used
	}
	return h, nil
}

// giveBack takes an unlocked handle of the file id as the spare one, or closes it.
func (f *lockfile) giveBack(h handle, id identity) {
	if f.spare != noHandle || id != f.id {
		h.close()
		return
	}
	f.spare = h
}

// attend watches the file, if it can.
func (f *lockfile) attend() {
	if !f.watched {
		f.watch, f.watched = f.s.attend(f.path, everybody, subject{file: f})
	}
}

// listen has whoever waits hear of the file as if it had been tried: when its holder
// dies, or whoever has it open because he waits, too. So those who are next find out at
// once that others before them are gone. It is best effort, for they look in any case.
func (f *lockfile) listen() {
	if id, err := identityAt(f.path); err == nil && id == f.id && (f.spare != noHandle || f.holds > 0) {
		f.attend()
		return
	}
	h, err := f.borrow()
	if err != nil {
		return
	}
	f.attend()
	if id, err := identityAt(f.path); err == nil && id == f.id {
		f.giveBack(h, id)
		return
	}
	h.close()
	f.forget()
}

// call wakes all who listen, in place of a ring that needs a right which is missing.
func (f *lockfile) call() {
	if h, err := open(f.path, openToRead); err == nil {
		h.close()
	}
}

// mark keeps the janitors away from a file that is in use.
func (f *lockfile) mark(h handle) {
	if f.s.now.Sub(f.used) < markEvery {
		return
	}
	f.used = f.s.now
	if h.linked() {
		return
	}
	_ = h.touch(f.s.now) // another user's file stays unmarked: it is made anew if need be
}

// forget lets go of the file that path named, but for the holds on it.
func (f *lockfile) forget() {
	f.rest()
	if f.watched {
		f.s.ignore(f.watch)
		f.watched = false
	}
	if f.id != (identity{}) && f.holds > 0 {
		f.s.verify(f.lock)
	}
	f.id = identity{}
}

// rest closes the spare handle.
func (f *lockfile) rest() bool {
	if f.spare == noHandle {
		return false
	}
	f.spare.close()
	f.spare = noHandle
	return true
}

// release unlocks the file.
func (h hold) release() {
	order.Add(1)
	if h.file.passing || h.h.unlock() != nil {
		h.abandon() // which unlocks it in any case
		return
	}
	h.file.holds--
	h.file.giveBack(h.h, h.id)
}

// abandon unlocks a file without keeping it open.
func (h hold) abandon() {
	order.Add(1)
	h.file.holds--
	h.h.close()
	if h.file.passing {
		h.file.forget()
		delete(h.file.lock.pool.slots, h.file.number)
	}
}

// stands reports whether the locked file is the one that its path names. It errs
// on the side of the holder: what cannot be looked at has not been replaced.
func (h hold) stands() bool {
	id, err := identityAt(h.file.path)
	return err != nil || id == h.id
}

func lostError(path string) error {
	return fmt.Errorf("the lock file %s was removed or replaced", path)
}
