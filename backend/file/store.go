// Package file keeps dlock's locks in a directory of the local file system.
//
// Every lock is a file that is locked by the operating system (flock, on Windows
// LockFileEx), so a crash frees what a process held at once, and other programs
// can take part: while a mutex is held, `flock -n FILE true` fails on the file
// that [Path] names, and while `flock FILE command` runs, the mutex waits.
//
// The directory must be shared by all who are to exclude each other. Lock files
// appear in it by and by and are removed when they have been idle for an hour;
// its subdirectory .dlock holds the queues, the counter of fencing tokens, and for
// each session a file that says what it holds and awaits, by which [Store.Inspect]
// tells who holds a lock. The file .dlock/format says, as a decimal number in a line,
// which format all this has, now 1: a directory with a greater number is left to
// later versions.
//
// To share a directory between users, make it yours to share: for a group by
//
//	install -d -m 2775 -g GROUP /var/lock/app
//
// New files in it take the directory's group, and give the group and all others what
// the directory gives them, whatever the umask; what root makes belongs to the owner of
// the directory. Whoever may only read the directory can look who holds a lock, and can
// lock its files by flock(1) and so keep others waiting: where strangers are not to, give
// them no right to the directory (mode 2770). Whoever may write to it is trusted with the
// locks, but not with more: links are not followed, a file with a second name is not
// written to, and what is no regular file is nobody. A session whose files others may
// not read, of another program or with rights changed by hand, has its turn only while
// the system shows that it lives (Linux does, in one container), and [Store.Inspect]
// passes it over and logs that.
//
// Whoever deletes or replaces the file of a lock that is held takes the lock
// away: its holder is told so, at the latest by its release. Nothing else may be done
// to the directory while it is in use.
//
// A disk that is full, too many open files, and other errors that can pass are
// waited for. A missing right and whatever else somebody has to change first is an
// error that wraps [backend.ErrDenied], and a file system without locks one that
// wraps [backend.ErrUnsupported].
//
// On Linux waiters are told when it is their turn, by inotify. A session has an instance
// of it once it has waited, of which a user has 128 at a time as a rule
// (fs.inotify.max_user_instances); where there is none left, or no watch, the client
// logs that once, and waiters poll. Before that, and in any case
// elsewhere, the loss of a hold is found out by heartbeats. Elsewhere they find out by polling,
// at first each millisecond and at last ten times a second; [backend.Caps].Notify
// is false. On macOS and FreeBSD rings by kqueue are to hasten that, but have not
// been tested.
//
// On a network file system, which is detected, they poll too, and all depends on
// what its flock promises: that it excludes other machines, and how soon a crashed
// one is noticed. Loss is looked for in heartbeats alone, and [Store.Inspect] may
// lag behind by as long as the machines keep what they write to themselves.
//
// Importing the package registers the URL scheme "file": file:///var/lock/app
// is an absolute directory and file:locks one relative to the working directory.
package file

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/fstype"
	"github.com/dlock-go/dlock/backend/file/internal/notify"
)

// A Store is a directory of lock files. It implements [backend.Backend] and is
// safe for concurrent use.
type Store struct {
	dir     string // absolute, unless err is set
	err     error  // why dir cannot be used, for Open to report
	isLocal func() bool

	passedOver sync.Once // by Inspect, which has said so
}

var _ backend.Backend = (*Store)(nil)

// New returns the store in the directory dir, which need not exist. It does not
// touch the file system: what is wrong with dir is reported by Open.
func New(dir string) *Store {
	s := &Store{dir: dir}
	if dir == "" {
		s.err = fmt.Errorf("%w: a file backend without a directory", backend.ErrUnsupported)
	} else if abs, err := filepath.Abs(dir); err != nil {
		s.err = fmt.Errorf("%w: file backend in %q: %w", backend.ErrUnsupported, dir, err)
	} else {
		s.dir = abs
	}
	s.isLocal = sync.OnceValue(func() bool {
		// A file system that does not even say what it is may be anything.
		ctx, cancel := context.WithTimeout(context.Background(), identified)
		defer cancel()
		local, err := answered(ctx, s.dir, 0, func() (bool, error) { return fstype.Local(s.dir), nil }, nil)
		return local && err == nil
	})
	return s
}

// Path returns the file that is locked for the lock of that class and name in
// the directory dir, for use with flock(1) and its like. The lock file of a
// semaphore says which sessions use it and with what limit; its tickets are
// separate files beside it, named by it and a number.
func Path(dir string, class backend.Class, name string) string {
	return filepath.Join(dir, fileName(keyOf(class, name), name))
}

// Path returns the file that is locked for the lock of that class and name; see the
// function [Path].
func (s *Store) Path(class backend.Class, name string) string { return Path(s.dir, class, name) }

// String returns the URL of the directory.
func (s *Store) String() string {
	slashed := filepath.ToSlash(s.dir)
	if s.err != nil {
		return (&url.URL{Scheme: "file", Opaque: url.PathEscape(slashed)}).String()
	}
	if slashed[0] != '/' { // C:/dir
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", Path: slashed}).String()
}

// Caps tells what the store guarantees. Whether it notifies depends on the
// system and on the file system that the directory is on at the first call.
func (s *Store) Caps() backend.Caps {
	return backend.Caps{
		Queue:     true,
		Notify:    notify.Supported && s.isLocal(),
		Fencing:   true,
		Processes: true,
		Inspect:   true,
	}
}

// Open creates the directory if it is missing, makes sure that files in it can
// be made and locked, and starts a session. Sessions have no leases: what they
// hold lasts until it is released, its file is replaced, or the process ends.
func (s *Store) Open(ctx context.Context, _ time.Duration, who backend.ClientInfo) (backend.Session, error) {
	if s.err != nil {
		return nil, s.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	session, err := answered(ctx, s.dir, orderly, func() (*session, error) { return s.open(ctx, who) }, (*session).end)
	if err != nil {
		return nil, explain(err)
	}
	return session, nil
}

func (s *Store) open(ctx context.Context, who backend.ClientInfo) (*session, error) {
	internal := filepath.Join(s.dir, internalDir)
	if err := makeInternal(s.dir); err != nil {
		return nil, err
	}
	if err := setFormat(ctx, s.dir); err != nil {
		return nil, err
	}
	clock, err := openClock(ctx, filepath.Join(internal, "clock"), s.isLocal())
	if err != nil {
		return nil, err
	}
	presence, err := newPresence(ctx, s.dir, s.isLocal(), who, clock, time.Now())
	if err != nil {
		clock.close()
		return nil, err
	}
	return newSession(s.dir, clock, presence, notify.New(s.isLocal())), nil
}
