package file

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
	"github.com/dlock-go/dlock/backend/file/internal/mmap"
)

// A clock counts for a whole directory: grants, whose fencing tokens it gives,
// and places in queues. It is the greater of the wall clock, as the ordinal of that
// time, and its last reading plus one, so it grows even where the wall clock steps
// back, and goes on where it was, about, when the file in which it is kept is lost.
//
// The file is one word, which sessions map into memory and advance without a
// system call. On a network file system, where a mapping is not the same for all
// machines, they read and write it under a lock. It is not safe for concurrent
// use by goroutines; use by several sessions is what it is for.
type clock struct {
	path  string
	local bool
	h     flock.Handle
	id    flock.Identity
	mem   mmap.Mapping
	word  *atomic.Uint64 // what mem is, or nil when it is read and written
	wrote time.Time      // by a system call, last
	last  uint64         // the greatest reading of this session
}

// clockWait bounds the wait for the lock of a clock that is not mapped, which
// others hold for a read and a write, where no ctx does.
const clockWait = 2 * time.Second

const wordSize = int(unsafe.Sizeof(atomic.Uint64{}))

// openClock opens the clock at path and makes it when it is missing. ctx bounds the
// wait for others who do.
func openClock(ctx context.Context, path string, local bool) (*clock, error) {
	c := &clock{path: path, local: local, h: flock.None}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *clock) open(ctx context.Context) error {
	h, err := create(c.path, false)
	if err != nil {
		return err
	}
	c.h = h
	if c.id, _, err = h.Identity(); err != nil {
		err = &fs.PathError{Op: "stat", Path: c.path, Err: err}
	} else if h.Linked() {
		err = &fs.PathError{Op: "write", Path: c.path, Err: errLinked}
	} else {
		err = c.fill(ctx)
	}
	if err != nil {
		c.close()
		return err
	}
	if c.local {
		// Without a mapping it works all the same, if more slowly.
		if c.mem, err = mmap.Map(uintptr(h), wordSize); err == nil {
			c.word = (*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(c.mem)))
		}
	}
	return nil
}

// fill writes the word unless it is there. A hole would do for reading, but on a
// full disk the first write to its mapping would be a fault.
func (c *clock) fill(ctx context.Context) error {
	// It is locked only if there is something to write: whoever may but read the
	// file can keep it locked.
	if _, found, err := c.read(); found || err != nil {
		return err
	}
	return c.h.WithLock(ctx, c.path, func() error {
		if _, found, err := c.read(); found || err != nil {
			return err
		}
		return c.write(0)
	})
}

// read returns the word, and whether it is there.
func (c *clock) read() (n uint64, found bool, err error) {
	var word [8]byte
	size, err := c.h.ReadAt(word[:], 0)
	if err != nil {
		return 0, false, &fs.PathError{Op: "read", Path: c.path, Err: err}
	}
	return binary.NativeEndian.Uint64(word[:]), size == len(word), nil
}

func (c *clock) write(n uint64) error {
	var word [8]byte
	binary.NativeEndian.PutUint64(word[:], n)
	if _, err := c.h.WriteAt(word[:], 0); err != nil {
		return &fs.PathError{Op: "write", Path: c.path, Err: err}
	}
	return nil
}

// next advances the clock and returns its reading, which no other call in the
// directory returns and which is greater than all that were returned before.
func (c *clock) next(now time.Time) (uint64, error) {
	if c.word != nil { // as a rule, and there is nothing to wait for
		if n, err := c.advance(context.Background(), max(backend.OrdinalAt(now), c.last+1)); err == nil {
			c.last = n
			return n, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), clockWait)
	defer cancel()
	return c.nextWithin(ctx, now)
}

// nextWithin is next with a bound of its own for the wait.
func (c *clock) nextWithin(ctx context.Context, now time.Time) (uint64, error) {
	if c.h == flock.None {
		if err := c.open(ctx); err != nil {
			return 0, err
		}
	}
	n, err := c.advance(ctx, max(backend.OrdinalAt(now), c.last+1))
	if err != nil && ctx.Err() == nil {
		// Somebody cut the file short, or the disk that backs it is full.
		c.close()
		if err := c.open(ctx); err != nil {
			return 0, err
		}
		n, err = c.advance(ctx, max(backend.OrdinalAt(now), c.last+1))
	}
	if err != nil {
		return 0, err
	}
	c.last = n
	return n, nil
}

// advance moves the word to the greater of floor and its successor. ctx bounds the
// wait for others, of which there is none when the word is mapped.
func (c *clock) advance(ctx context.Context, floor uint64) (n uint64, err error) {
	if c.word == nil {
		err = c.h.WithLock(ctx, c.path, func() error {
			last, _, err := c.read()
			if err != nil {
				return err
			}
			if n, err = c.after(last, floor); err != nil {
				return err
			}
			return c.write(n)
		})
		return n, err
	}
	if !mmap.Settled(c.wrote) {
		// Nothing, for others advance the word meanwhile: that waits as any write does.
		_, _ = c.h.WriteAt(nil, 0)
		c.wrote = time.Now()
	}
	fault := mmap.Guard(func() {
		for {
			last := c.word.Load()
			if n, err = c.after(last, floor); err != nil || c.word.CompareAndSwap(last, n) {
				return
			}
		}
	})
	if fault != nil {
		return 0, &fs.PathError{Op: "write", Path: c.path, Err: fault}
	}
	return n, err
}

// after returns the reading that follows last and is not below floor. There is none
// when somebody has written something else into the file.
func (c *clock) after(last, floor uint64) (uint64, error) {
	if last >= backend.MaxOrdinal || floor > backend.MaxOrdinal {
		return 0, fmt.Errorf("%w: %s reads %d, which it never should", backend.ErrDenied, c.path, max(last, floor))
	}
	return max(floor, last+1), nil
}

// check opens the clock anew when its file was replaced. The new one goes on from
// this session's last reading, if not from everybody's: since readings follow
// the wall clock, that only matters where it steps back at the same time.
func (c *clock) check() {
	if id, err := flock.IdentityAt(c.path); err != nil || id == c.id {
		return
	}
	c.close() // next opens it
}

func (c *clock) close() {
	if c.word != nil {
		c.mem.Unmap()
		c.word = nil
	}
	if c.h != flock.None {
		c.h.Close()
		c.h = flock.None
	}
}
