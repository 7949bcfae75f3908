//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package file

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dlock-go/dlock/backend"
)

// A handle is an open file of its own: a lock that is taken through it belongs
// to it alone and excludes the other handles of the process.
//
// It is a bare descriptor and not an os.File, whose bookkeeping would cost more
// than the locking. It does not survive exec: a child that inherited it would go
// on holding the lock.
type handle int

const noHandle handle = -1

// Ways to open a file.
const (
	openExisting = unix.O_RDWR
	openNew      = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
	openToRead   = unix.O_RDONLY
)

// open opens a regular file, and nothing else: others may have put anything in its
// place. It follows no link, and a FIFO keeps it from nothing.
func open(path string, how int) (handle, error) {
	h, err := openAny(path, how, 0o666)
	if err != nil {
		return noHandle, err
	}
	var st unix.Stat_t
	if err := h.stat(&st); err != nil {
		h.close()
		return noHandle, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		h.close()
		return noHandle, errIrregular
	}
	return h, nil
}

// openAny opens whatever is there, without waiting for it.
func openAny(path string, how int, perm uint32) (handle, error) {
	for {
		fd, err := unix.Open(path, how|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
		if err != unix.EINTR {
			return handle(fd), err
		}
	}
}

func (h handle) stat(st *unix.Stat_t) error {
	for {
		if err := unix.Fstat(int(h), st); err != unix.EINTR {
			return err
		}
	}
}

func (h handle) close() error { return unix.Close(int(h)) }

// tryLock locks the file in mode and reports false when somebody else keeps it
// from doing so. Every other obstacle is an error: to take it for either answer
// would be to grant, or to wait, in vain.
func (h handle) tryLock(mode backend.Mode) (bool, error) {
	how := unix.LOCK_EX | unix.LOCK_NB
	if mode == backend.Shared {
		how = unix.LOCK_SH | unix.LOCK_NB
	}
	for {
		switch err := unix.Flock(int(h), how); err {
		case nil:
			return true, nil
		case unix.EWOULDBLOCK:
			return false, nil
		case unix.EINTR:
		default:
			return false, err
		}
	}
}

func (h handle) unlock() error {
	for {
		if err := unix.Flock(int(h), unix.LOCK_UN); err != unix.EINTR {
			return err
		}
	}
}

// identity returns which file the handle is open on, and when it was last used.
func (h handle) identity() (identity, time.Time, error) {
	var st unix.Stat_t
	err := h.stat(&st)
	return identity{uint64(st.Dev), st.Ino}, time.Unix(st.Mtim.Unix()), err
}

// linked reports whether the file may have another name, somewhere else: what is
// written to it would be written there.
func (h handle) linked() bool {
	var st unix.Stat_t
	return h.stat(&st) != nil || st.Nlink > 1
}

// touch sets when the file was last used.
func (h handle) touch(now time.Time) error {
	tv := unix.NsecToTimeval(now.UnixNano())
	return unix.Futimes(int(h), []unix.Timeval{tv, tv})
}

func (h handle) readAt(p []byte, off int64) (int, error) {
	return unix.Pread(int(h), p, off)
}

func (h handle) writeAt(p []byte, off int64) (int, error) {
	return unix.Pwrite(int(h), p, off)
}

// An identity tells files apart for as long as they are open somewhere. The zero
// identity is that of no file.
type identity struct{ dev, ino uint64 }

// identityAt returns which file path names now: the zero identity when none.
func identityAt(path string) (identity, error) {
	for {
		var st unix.Stat_t
		switch err := unix.Lstat(path, &st); err {
		case nil:
			return identity{uint64(st.Dev), st.Ino}, nil
		case unix.ENOENT, unix.ENOTDIR:
			return identity{}, nil
		case unix.EINTR:
		default:
			return identity{}, err
		}
	}
}

// unlink removes a file that others may have open.
func unlink(path string) error { return os.Remove(path) }

// denied reports whether err says that the system will go on to refuse what was asked
// until somebody changes the files, or the rights to them.
func denied(err error) bool {
	for _, e := range []error{
		unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOTDIR, unix.EISDIR, unix.ELOOP,
		unix.ENAMETOOLONG, unix.EINVAL, unix.ENXIO, errIrregular, errLinked, errNoDirectory,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// unreadable reports whether err says that we lack the right to open a file.
func unreadable(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// irregular reports whether err says of a path that it names no regular file.
func irregular(err error) bool {
	for _, e := range []error{errIrregular, unix.EISDIR, unix.ELOOP, unix.EMLINK, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// exhausted reports whether err says that too many files are open.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
