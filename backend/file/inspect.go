package file

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// Inspect tells who holds a lock and who waits for it, from what the sessions
// say on their presence files. It locks nothing that anybody waits for.
//
// A session that the caller may not read is passed over, and the first time that it
// happens is logged by [slog.Default].
//
// A program that holds the file of a mutex or of a reader-writer lock without
// dlock is told on Linux: its process, if the system shows that to the caller.
func (s *Store) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	if s.err != nil {
		return nil, nil, s.err
	}
	if class < backend.Mutex || class > backend.Semaphore {
		return nil, nil, fmt.Errorf("%w: lock class %d", backend.ErrUnsupported, class)
	}
	type found struct{ holders, waiters []backend.Participant }
	f, err := answered(ctx, s.dir, orderly, func() (f found, err error) {
		f.holders, f.waiters, err = s.inspect(ctx, class, name)
		return f, err
	}, nil)
	return f.holders, f.waiters, err
}

func (s *Store) inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	k := keyOf(class, name)
	base := fileName(k, name)
	internal := filepath.Join(s.dir, internalDir)
	if err := checkInternal(s.dir); err != nil {
		return nil, nil, explain(err)
	}
	if _, err := readFormat(s.dir); err != nil {
		return nil, nil, explain(err)
	}
	names, err := flock.Names(internal)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, explain(&fs.PathError{Op: "read", Path: internal, Err: err})
	}
	var found standings
	var presences []flock.Identity
	var unread []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if !isPresence(name) {
			continue
		}
		path := filepath.Join(internal, name)
		id, err := found.read(ctx, path, k)
		switch {
		case err == nil:
			presences = append(presences, id)
		case flock.Irregular(err): // nobody's
		case flock.Unreadable(err):
			if lockedUnread(path) {
				unread = append(unread, err)
			}
		case errors.Is(err, errNoPresence):
			unread = append(unread, err)
		default:
			return nil, nil, explain(err)
		}
	}
	if len(unread) > 0 {
		s.passedOver.Do(func() {
			slog.Warn("dlock: sessions that cannot be read are passed over: what they hold and await is not told",
				"backend", s.String(), "sessions", len(unread), "error", unread[0])
		})
	}
	holders, waiters = found.holders(), found.waiters(queue{filepath.Join(internal, base+queueSuffix)})
	if len(holders) == 0 && class != backend.Semaphore {
		holders = foreignHolders(filepath.Join(s.dir, base), presences)
	}
	return holders, waiters, nil
}

// A standing is one record, and who says it.
type standing struct {
	record
	who backend.ClientInfo
}

func (s *standing) tell(ordinal uint64) backend.Participant {
	return backend.Participant{ClientInfo: s.who, Mode: s.mode, Since: s.since, Ordinal: ordinal}
}

type standings []standing

// errNoPresence says that a file is named like a presence file and is none.
var errNoPresence = errors.New("no description of a session")

const (
	// maxHead bounds the first line of a presence file, and maxPresence what is read of it: there
	// is room for a million claims, and whoever may write to the directory may make a
	// file of any size.
	maxHead     = 16 << 10
	maxPresence = 64 << 20
)

// read appends what a presence file says of one lock, and returns which file it is: none
// when its session is dead.
func (f *standings) read(ctx context.Context, path string, k key) (flock.Identity, error) {
	h, err := flock.Open(path, flock.ToRead)
	if os.IsNotExist(err) {
		return flock.Identity{}, nil
	}
	if err != nil {
		return flock.Identity{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer h.Close()
	// Shared, so that those who inspect do not take each other for the session.
	if dead, err := h.TryRLock(); err != nil {
		return flock.Identity{}, &fs.PathError{Op: "lock", Path: path, Err: err}
	} else if dead {
		return flock.Identity{}, nil
	}
	id, _, err := h.Identity()
	if err != nil {
		return flock.Identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	page := make([]byte, maxHead)
	n, err := h.ReadAt(page, 0)
	if err != nil {
		return flock.Identity{}, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	head, _, ok := bytes.Cut(page[:n], []byte("\n"))
	var who backend.ClientInfo
	if !ok || json.Unmarshal(head, &who) != nil {
		return flock.Identity{}, &fs.PathError{Op: "read", Path: path, Err: errNoPresence}
	}
	// A page holds whole records, so none is read in two pieces.
	page = page[:len(page)/recordSize*recordSize]
	for off := int64(len(head) + 1); off < maxPresence && ctx.Err() == nil; {
		n, err := h.ReadAt(page, off)
		if err != nil {
			return flock.Identity{}, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		n -= n % recordSize
		if n == 0 {
			break
		}
		for i := 0; i < n; i += recordSize {
			f.decode(h, (*[recordSize]byte)(page[i:]), off+int64(i), k, who)
		}
		off += int64(n)
	}
	return id, ctx.Err()
}

// decode appends a record, which stands at off, if it is about the lock.
func (f *standings) decode(h flock.Handle, b *[recordSize]byte, off int64, k key, who backend.ClientInfo) {
	s := standing{who: who}
	for n := 0; keyOfRecord(b) == k && n < patience; n++ {
		if s.record.decode(b) {
			*f = append(*f, s)
			return
		}
		if _, err := h.ReadAt(b[:], off); err != nil { // it was being written
			return
		}
	}
}

// holders returns those who hold the lock, in the order of their grants.
func (f standings) holders() []backend.Participant {
	var held standings
	for _, s := range f {
		if s.held {
			held = append(held, s)
		}
	}
	slices.SortFunc(held, func(a, b standing) int { return cmp.Compare(a.number, b.number) })
	// Presence files are read one after another. So one who gave the lock back and one who
	// took it after that may both be found to hold it: the last one does, and those
	// before whom it lets in beside itself.
	first := len(held)
	for first > 0 && held[first-1].fits(held[first:]) {
		first--
	}
	var told []backend.Participant
	for _, s := range held[first:] {
		told = append(told, s.tell(s.number))
	}
	return told
}

// fits reports whether s may hold a lock beside those who took it after s did.
func (s *standing) fits(later standings) bool {
	switch {
	case len(later) == 0:
		return true
	case s.key.class == backend.RWMutex:
		return s.mode == backend.Shared && later[0].mode == backend.Shared
	}
	return len(later) < int(later[0].limit)
}

// waiters returns those who wait for the lock, in the order in which the queue is
// to be served.
func (f standings) waiters(q queue) []backend.Participant {
	var waiting standings
	var places []place
	for _, s := range f {
		if !s.held {
			waiting = append(waiting, s)
			places = append(places, place{mode: s.mode})
		}
	}
	until := q.turnOfReaders(places)
	rank := func(s standing) int {
		switch {
		case s.mode == backend.Exclusive:
			return 1
		case s.number < until:
			return 0
		}
		return 2
	}
	slices.SortFunc(waiting, func(a, b standing) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.number, b.number))
	})
	var told []backend.Participant
	for _, s := range waiting {
		told = append(told, s.tell(0))
	}
	return told
}
