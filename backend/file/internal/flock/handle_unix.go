//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package flock

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Handle is an open file of its own: a lock that is taken through it belongs
// to it alone and excludes the other Handles of the process.
//
// It is a bare descriptor and not an os.File, whose bookkeeping would cost more
// than the locking. It does not survive exec: a child that inherited it would go
// on holding the lock.
type Handle int

// None is no Handle.
const None Handle = -1

// Ways to open a file.
const (
	Existing = unix.O_RDWR
	New      = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
	ToRead   = unix.O_RDONLY
)

// Open opens a regular file, and nothing else: others may have put anything in its
// place. It follows no link, and a FIFO keeps it from nothing.
func Open(path string, how int) (Handle, error) {
	h, err := openAny(path, how, 0o666)
	if err != nil {
		return None, err
	}
	var st unix.Stat_t
	if err := h.stat(&st); err != nil {
		h.Close()
		return None, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		h.Close()
		return None, ErrIrregular
	}
	return h, nil
}

// openAny opens whatever is there, without waiting for it.
func openAny(path string, how int, perm uint32) (Handle, error) {
	for {
		fd, err := unix.Open(path, how|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
		if err != unix.EINTR {
			return Handle(fd), err
		}
	}
}

func (h Handle) stat(st *unix.Stat_t) error {
	for {
		if err := unix.Fstat(int(h), st); err != unix.EINTR {
			return err
		}
	}
}

// Close unlocks the file, too.
func (h Handle) Close() error { return unix.Close(int(h)) }

// TryLock locks the file for writing, and reports false when
// somebody else keeps it from doing so. Every other obstacle is an error: to take it for
// either answer would be to grant, or to wait, in vain.
func (h Handle) TryLock() (bool, error) { return h.tryLock(unix.LOCK_EX) }

// TryRLock does the same for reading.
func (h Handle) TryRLock() (bool, error) { return h.tryLock(unix.LOCK_SH) }

func (h Handle) tryLock(how int) (bool, error) {
	for {
		switch err := unix.Flock(int(h), how|unix.LOCK_NB); err {
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

// Unlock gives the lock back.
func (h Handle) Unlock() error {
	for {
		if err := unix.Flock(int(h), unix.LOCK_UN); err != unix.EINTR {
			return err
		}
	}
}

// Identity returns which file the handle is open on, and when it was last used.
func (h Handle) Identity() (Identity, time.Time, error) {
	var st unix.Stat_t
	err := h.stat(&st)
	return Identity{uint64(st.Dev), st.Ino}, time.Unix(st.Mtim.Unix()), err
}

// Linked reports whether the file may have another name, somewhere else: what is
// written to it would be written there.
func (h Handle) Linked() bool {
	var st unix.Stat_t
	return h.stat(&st) != nil || st.Nlink > 1
}

// Touch sets when the file was last used.
func (h Handle) Touch(now time.Time) error {
	tv := unix.NsecToTimeval(now.UnixNano())
	return unix.Futimes(int(h), []unix.Timeval{tv, tv})
}

// ReadAt is the like of [os.File.ReadAt], but at the end of the file it returns no error.
func (h Handle) ReadAt(p []byte, off int64) (int, error) {
	return unix.Pread(int(h), p, off)
}

// WriteAt is the like of [os.File.WriteAt].
func (h Handle) WriteAt(p []byte, off int64) (int, error) {
	return unix.Pwrite(int(h), p, off)
}

// An Identity tells files apart for as long as they are open somewhere. The zero
// Identity is that of no file.
type Identity struct{ dev, ino uint64 }

// IdentityAt returns which file path names now: the zero identity when none.
func IdentityAt(path string) (Identity, error) {
	for {
		var st unix.Stat_t
		switch err := unix.Lstat(path, &st); err {
		case nil:
			return Identity{uint64(st.Dev), st.Ino}, nil
		case unix.ENOENT, unix.ENOTDIR:
			return Identity{}, nil
		case unix.EINTR:
		default:
			return Identity{}, err
		}
	}
}

// Unlink removes a file that others may have open.
func Unlink(path string) error { return os.Remove(path) }

// Denied reports whether err says that the system will go on to refuse what was asked
// until somebody changes the files, or the rights to them.
func Denied(err error) bool {
	for _, e := range []error{
		unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOTDIR, unix.EISDIR, unix.ELOOP,
		unix.ENAMETOOLONG, unix.EINVAL, unix.ENXIO, ErrIrregular,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Unreadable reports whether err says that we lack the right to open a file.
func Unreadable(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// Irregular reports whether err says of a path that it names no regular file.
func Irregular(err error) bool {
	for _, e := range []error{ErrIrregular, unix.EISDIR, unix.ELOOP, unix.EMLINK, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Exhausted reports whether err says that too many files are open.
func Exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
