package file

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// A pool is the state of a semaphore in a session that uses it.
//
// Each ticket of a semaphore is a slot file that its holder locks. All must agree
// on how many there are: that number stands in the semaphore's own lock file,
// which every session that holds or awaits a ticket locks in shared mode. Only
// who can lock it exclusively, because nobody uses the semaphore, may write
// another limit.
type pool struct {
	joined bool
	base   hold   // the shared lock, while joined
	limit  uint32 // while joined
	slots  map[uint32]*lockfile
}

// keptSlots is how many slot files stay open between uses.
const keptSlots = 8

// settle is how long, at first, others are given who lock a semaphore's file for
// a moment in order to look at its limit or to set it.
const settle = 50 * time.Microsecond

// patient bounds the last pause for them. Meanwhile the session does nothing else, and
// who waits for the end of another limit asks each second.
const patient = 200 * settle

// joinPool makes the session one of the semaphore's users. It reports false when
// somebody who is not one of us has locked the semaphore's file.
func (l *lock) joinPool(limit uint32) (bool, error) {
	p := &l.pool
	if p.joined && p.base.stands() {
		if p.limit != limit {
			return false, limitError(p.limit, limit)
		}
		return true, nil
	}
	if p.joined { // its file was replaced, and with it what all had agreed on
		l.file.s.verify(l)
		l.leavePool()
	}
	var found uint32
	for pause := settle; pause < patient; pause *= 2 {
		base, ok, err := l.file.try(backend.Shared)
		if err != nil {
			return false, err
		}
		found = 0
		if ok {
			if found, err = readLimit(base.h); err != nil {
				base.abandon()
				return false, &fs.PathError{Op: "read", Path: l.file.path, Err: err}
			}
			if found == limit {
				p.joined, p.base, p.limit = true, base, limit
				p.shrink()
				return true, nil
			}
			base.release()
		}
		// To exchange a shared lock for an exclusive one is to give it up first.
		// Hence it is written under the exclusive lock alone, and another round
		// finds out under the shared one whether it has stood until then.
		base, free, err := l.file.try(backend.Exclusive)
		if err != nil {
			return false, err
		}
		if free {
			err := errLinked
			if !base.h.Linked() {
				err = writeLimit(base.h, limit)
			}
			base.release()
			if err != nil {
				return false, &fs.PathError{Op: "write", Path: l.file.path, Err: err}
			}
			continue
		}
		// In use, unless it was somebody else who was only looking.
		time.Sleep(pause)
	}
	if found == 0 {
		return false, nil
	}
	return false, limitError(found, limit)
}

// leavePool ends the session's use of the semaphore.
func (l *lock) leavePool() {
	if l.pool.joined {
		l.pool.joined = false
		l.pool.base.release()
	}
}

// shrink forgets the slots beyond the limit.
func (p *pool) shrink() {
	for i, f := range p.slots {
		if i >= p.limit && f.holds == 0 {
			f.forget()
			delete(p.slots, i)
		}
	}
}

// take locks a free slot.
func (p *pool) take(l *lock) (hold, bool, error) {
	for i := range p.limit {
		f := p.slots[i]
		if f == nil {
			f = &lockfile{s: l.file.s, lock: l, path: slotPath(l.file.path, i), slot: true, number: i, passing: i >= keptSlots, spare: flock.None}
		} else if f.holds > 0 {
			continue // by another owner of this session
		}
		h, ok, err := f.try(backend.Exclusive)
		if ok || !f.passing {
			if p.slots == nil {
				p.slots = make(map[uint32]*lockfile)
			}
			p.slots[i] = f
		} else {
			f.forget()
		}
		if ok || err != nil {
			return h, ok, err
		}
	}
	return hold{}, false, nil
}

func limitError(used, wanted uint32) error {
	return fmt.Errorf("%w: %d, not %d", backend.ErrLimit, used, wanted)
}

// limitWidth is the size of a limit in a file: it is padded, to be overwritten in
// one piece.
const limitWidth = len("4294967295\n")

// readLimit returns what a semaphore's file says: 0 when nothing that we wrote.
func readLimit(h flock.Handle) (uint32, error) {
	var b [limitWidth]byte
	n, err := h.ReadAt(b[:], 0)
	if err != nil {
		return 0, err
	}
	limit, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 32)
	if err != nil {
		return 0, nil
	}
	return uint32(limit), nil
}

func writeLimit(h flock.Handle, limit uint32) error {
	_, err := h.WriteAt(fmt.Appendf(nil, "%*d\n", limitWidth-1, limit), 0)
	return err
}
