package file

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
	"github.com/dlock-go/dlock/backend/file/internal/mmap"
)

// A presence is the file in which a session tells people who it is, and what it
// holds and awaits; see [Store.Inspect]. No lock depends on it: what goes wrong
// with it is left to the next heartbeat, which makes another one.
//
// Its first line is the [backend.ClientInfo], the rest are records, one for each claim
// in no order. The session keeps it locked, so that a crash takes back what it
// says. It is locked before it gets its name, and nobody else locks it but to learn
// whether its session is dead: so that disturbs nobody, and who can lock it may
// remove it.
type presence struct {
	dir   string // of the store
	local bool
	head  []byte // the first line

	path  string
	h     flock.Handle // None while there is no presence file
	id    flock.Identity
	mem   mmap.Mapping     // of the whole file, or nil when it is written by system calls
	wrote time.Time        // by a system call, last
	free  []int            // slots, counted from 1, that were used and are free again
	used  int              // slots that are used or free
	text  [recordSize]byte // for show, that it need not be allocated
}

const (
	boardSuffix = ".session"
	// maxReason is where reasons are cut, in bytes.
	maxReason = 1024
	// presencePage is what the size of a mapped presence file is a multiple of.
	presencePage = 4096
)

func isPresence(name string) bool {
	stem, ok := strings.CutSuffix(name, boardSuffix)
	_, err := strconv.ParseUint(stem, 16, 64)
	return ok && err == nil
}

// newPresence makes a presence file. That finds out at once what would otherwise fail with
// the first lock, and is an error then: a directory in which no files can be made,
// and a file system that has no locks.
func newPresence(ctx context.Context, dir string, local bool, who backend.ClientInfo, c *clock, now time.Time) (*presence, error) {
	if len(who.Reason) > maxReason {
		who.Reason = strings.ToValidUTF8(who.Reason[:maxReason], "")
	}
	head, err := json.Marshal(who)
	if err != nil {
		return nil, err
	}
	b := &presence{dir: dir, local: local, head: append(head, '\n'), h: flock.None}
	return b, b.open(ctx, c, now)
}

// open makes the file. When it can be made and locked, but not written,
// there is no presence file, and no error. ctx bounds the wait for the clock.
func (b *presence) open(ctx context.Context, c *clock, now time.Time) error {
	for range patience {
		number, err := c.nextWithin(ctx, now)
		if err != nil {
			return err
		}
		name := strconv.FormatUint(number, 16)
		temporary := filepath.Join(b.dir, flock.AsidePrefix+name)
		h, err := flock.Open(temporary, flock.New)
		if errors.Is(err, fs.ErrExist) { // the clock has been lost
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "open", Path: temporary, Err: err}
		}
		b.path, b.h, b.used, b.free = temporary, h, 0, nil
		h.Share(filepath.Join(b.dir, internalDir), true)
		switch ok, err := h.TryLock(); {
		case err != nil:
			b.close()
			return &fs.PathError{Op: "lock", Path: temporary, Err: err}
		case !ok:
			// Nobody knows this file: a system that answers so does not keep locks.
			b.close()
			return &fs.PathError{Op: "lock", Path: temporary, Err: errors.ErrUnsupported}
		}
		path := filepath.Join(b.dir, internalDir, name+boardSuffix)
		if b.begin() != nil || os.Rename(temporary, path) != nil {
			b.close()
			return nil
		}
		b.path = path
		return nil
	}
	return &fs.PathError{Op: "open", Path: b.dir, Err: errRestless}
}

// begin writes the first line.
func (b *presence) begin() (err error) {
	if b.id, _, err = b.h.Identity(); err != nil {
		return err
	}
	if b.local {
		if err := b.grow(len(b.head)); err != nil {
			return err
		}
	}
	return b.write(b.head, 0)
}

// grow makes room for size bytes in a presence file that is mapped.
func (b *presence) grow(size int) error {
	old := len(b.mem)
	size = (max(size, 2*old) + presencePage - 1) / presencePage * presencePage
	// A hole would do for reading, but on a full disk a write to its mapping would
	// be a fault.
	for off := old; off < size; off += presencePage {
		if _, err := b.h.WriteAt(make([]byte, presencePage), int64(off)); err != nil {
			return err
		}
	}
	if b.mem != nil {
		b.mem.Unmap()
	}
	var err error
	if b.mem, err = mmap.Map(uintptr(b.h), size); err != nil {
		b.local = false // it is written by system calls from now on
	}
	return nil
}

func (b *presence) write(p []byte, off int) error {
	end := off + len(p)
	if b.local && end > len(b.mem) {
		if err := b.grow(end); err != nil {
			return err
		}
	}
	if b.local && mmap.Settled(b.wrote) {
		return mmap.Guard(func() { copy(b.mem[off:], p) })
	}
	if b.local {
		// Whoever cut the file short has taken the first line, too.
		var text [2]byte
		if err := mmap.Guard(func() { text[0], text[1] = b.mem[0], b.mem[off] }); err != nil {
			return err
		}
	}
	_, err := b.h.WriteAt(p, int64(off))
	b.wrote = time.Now()
	return err
}

// show makes the presence file say what has become of a claim.
func (b *presence) show(c *claim) {
	over := c.ended || c.lost
	if b.h == flock.None || over && c.slot == 0 {
		return
	}
	if b.text = ([recordSize]byte{}); !over {
		recordOf(c).encode(&b.text)
	}
	if c.slot == 0 {
		c.slot = b.slot()
	}
	if b.write(b.text[:], len(b.head)+(c.slot-1)*recordSize) != nil {
		b.close()
		return
	}
	if over {
		b.free = append(b.free, c.slot)
		c.slot = 0
	}
}

// slot returns one that is not in use.
func (b *presence) slot() int {
	if n := len(b.free); n > 0 {
		slot := b.free[n-1]
		b.free = b.free[:n-1]
		return slot
	}
	b.used++
	return b.used
}

// stands reports whether there is a presence file and its path still names it.
func (b *presence) stands() bool {
	if b.h == flock.None {
		return false
	}
	id, err := flock.IdentityAt(b.path)
	return err != nil || id == b.id
}

// close removes the presence file.
func (b *presence) close() {
	if b.h == flock.None {
		return
	}
	if b.mem != nil {
		b.mem.Unmap()
		b.mem = nil
	}
	_ = os.Remove(b.path)
	b.h.Close()
	b.h = flock.None
}
