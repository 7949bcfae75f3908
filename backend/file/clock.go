package file

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dlock-go/dlock/backend"
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
	h     handle
	id    identity
	mem   mapping
	word  *atomic.Uint64 // what mem is, or nil when it is read and written
	last  uint64         // the greatest reading of this session
}

// clockWait bounds the wait for the lock of a clock that is not mapped, which
// others hold for a read and a write.
const clockWait = 2 * time.Second

const wordSize = int(unsafe.Sizeof(atomic.Uint64{}))

// openClock opens the clock at path and makes it when it is missing.
func openClock(path string, local bool) (*clock, error) {
	c := &clock{path: path, local: local, h: noHandle}
	if err := c.open(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *clock) open() error {
	h, err := create(c.path)
	if err != nil {
		return err
	}
	c.h = h
	if c.id, _, err = h.identity(); err == nil {
		err = c.fill()
	}
	if err != nil {
		c.close()
		return &fs.PathError{Op: "write", Path: c.path, Err: err}
	}
	if c.local {
		// Without a mapping it works all the same, if more slowly.
		if c.mem, err = mapFile(h, wordSize); err == nil {
			c.word = (*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(c.mem)))
		}
	}
	return nil
}

// fill writes the word unless it is there. A hole would do for reading, but on a
// full disk the first write to its mapping would be a fault.
func (c *clock) fill() error {
	return c.locked(func() error {
		var word [8]byte
		switch n, err := c.h.readAt(word[:], 0); {
		case err != nil:
			return err
		case n == len(word):
			return nil
		}
		_, err := c.h.writeAt(make([]byte, len(word)), 0)
		return err
	})
}

// locked runs f while it holds the clock's file, and waits for that.
func (c *clock) locked(f func() error) error {
	for start := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		ok, err := c.h.tryLock(backend.Exclusive)
		if err != nil {
			return err
		}
		if ok {
			defer c.h.unlock()
			return f()
		}
		if time.Since(start) > clockWait {
			return errors.New("locked by somebody else")
		}
	}
}

// next advances the clock and returns its reading, which no other call in the
// directory returns and which is greater than all that were returned before.
func (c *clock) next(now time.Time) (uint64, error) {
	if c.h == noHandle {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n, err := c.advance(max(backend.OrdinalAt(now), c.last+1))
	if err != nil {
		// Somebody cut the file short, or the disk that backs it is full.
		c.close()
		if err := c.open(); err != nil {
			return 0, err
		}
		if n, err = c.advance(max(backend.OrdinalAt(now), c.last+1)); err != nil {
			return 0, &fs.PathError{Op: "write", Path: c.path, Err: err}
		}
	}
	c.last = n
	return n, nil
}

// advance moves the word to the greater of floor and its successor.
func (c *clock) advance(floor uint64) (n uint64, err error) {
	if c.word == nil {
		err = c.locked(func() error {
			var word [8]byte
			_, err := c.h.readAt(word[:], 0)
			if err != nil {
				return err
			}
			if n, err = after(binary.NativeEndian.Uint64(word[:]), floor); err != nil {
				return err
			}
			binary.NativeEndian.PutUint64(word[:], n)
			_, err = c.h.writeAt(word[:], 0)
			return err
		})
		return n, err
	}
	fault := guard(func() {
		for {
			last := c.word.Load()
			if n, err = after(last, floor); err != nil || c.word.CompareAndSwap(last, n) {
				return
			}
		}
	})
	return n, cmp.Or(err, fault)
}

// after returns the reading that follows last and is not below floor. There is none
// when somebody has written something else into the file.
func after(last, floor uint64) (uint64, error) {
	if last >= backend.MaxOrdinal || floor > backend.MaxOrdinal {
		return 0, fmt.Errorf("reads %d, which it never should", max(last, floor))
	}
	return max(floor, last+1), nil
}

// check opens the clock anew when its file was replaced. The new one goes on from
// this session's last reading, if not from everybody's: since readings follow
// the wall clock, that only matters where it steps back at the same time.
func (c *clock) check() {
	if id, err := identityAt(c.path); err != nil || id == c.id {
		return
	}
	c.close() // next opens it
}

func (c *clock) close() {
	if c.word != nil {
		c.mem.unmap()
		c.word = nil
	}
	if c.h != noHandle {
		c.h.close()
		c.h = noHandle
	}
}
