package flock

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// A Handle is an open file of its own: a lock that is taken through it belongs
// to it alone and excludes the other Handles of the process. Unlike an os.File
// it does not keep others from deleting or renaming the file.
type Handle windows.Handle

// None is no Handle.
const None = Handle(windows.InvalidHandle)

// Ways to open a file.
const (
	Existing = iota
	New
	ToRead
)

// Open opens a regular file, and nothing else: others may have put anything in its
// place.
func Open(path string, how int) (Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return None, err
	}
	access := uint32(windows.GENERIC_READ | windows.GENERIC_WRITE)
	disposition := uint32(windows.OPEN_EXISTING)
	switch how {
	case New:
		disposition = windows.CREATE_NEW
	case ToRead:
		access = windows.GENERIC_READ
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	// No security attributes: the handle is not inherited.
	h, err := windows.CreateFile(name, access, share, nil, disposition,
		windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return None, err
	}
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		windows.CloseHandle(h)
		return None, err
	}
	if info.FileAttributes&(windows.FILE_ATTRIBUTE_REPARSE_POINT|windows.FILE_ATTRIBUTE_DIRECTORY) != 0 {
		windows.CloseHandle(h)
		return None, ErrIrregular
	}
	return Handle(h), nil
}

// Close unlocks the file, too.
func (h Handle) Close() error { return windows.CloseHandle(windows.Handle(h)) }

// lockedByte is the byte that locks are taken on. Locks are mandatory here, so it
// lies where nobody reads or writes.
func lockedByte() *windows.Overlapped {
	return &windows.Overlapped{OffsetHigh: 1 << 30}
}

// TryLock locks the file for writing, and reports false when
// somebody else keeps it from doing so. Every other obstacle is an error: to take it for
// either answer would be to grant, or to wait, in vain.
func (h Handle) TryLock() (bool, error) { return h.tryLock(windows.LOCKFILE_EXCLUSIVE_LOCK) }

// TryRLock does the same for reading.
func (h Handle) TryRLock() (bool, error) { return h.tryLock(0) }

func (h Handle) tryLock(how uint32) (bool, error) {
	err := windows.LockFileEx(windows.Handle(h), how|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, lockedByte())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

// Unlock gives the lock back.
func (h Handle) Unlock() error {
	return windows.UnlockFileEx(windows.Handle(h), 0, 1, 0, lockedByte())
}

// Identity returns which file the handle is open on, and when it was last used.
func (h Handle) Identity() (Identity, time.Time, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(h), &info); err != nil {
		return Identity{}, time.Time{}, err
	}
	id := Identity{uint64(info.VolumeSerialNumber), uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}
	return id, time.Unix(0, info.LastWriteTime.Nanoseconds()), nil
}

// Linked reports whether the file may have another name, somewhere else: what is
// written to it would be written there.
func (h Handle) Linked() bool {
	var info windows.ByHandleFileInformation
	return windows.GetFileInformationByHandle(windows.Handle(h), &info) != nil || info.NumberOfLinks > 1
}

// Touch sets when the file was last used.
func (h Handle) Touch(now time.Time) error {
	t := windows.NsecToFiletime(now.UnixNano())
	return windows.SetFileTime(windows.Handle(h), nil, nil, &t)
}

// ReadAt is the like of [os.File.ReadAt], but at the end of the file it returns no error.
func (h Handle) ReadAt(p []byte, off int64) (int, error) {
	var n uint32
	o := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
	err := windows.ReadFile(windows.Handle(h), p, &n, &o)
	if errors.Is(err, windows.ERROR_HANDLE_EOF) {
		err = nil
	}
	return int(n), err
}

// WriteAt is the like of [os.File.WriteAt].
func (h Handle) WriteAt(p []byte, off int64) (int, error) {
	var n uint32
	o := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
	err := windows.WriteFile(windows.Handle(h), p, &n, &o)
	return int(n), err
}

// An Identity tells files apart for as long as they are open somewhere. The zero
// Identity is that of no file.
type Identity struct{ volume, index uint64 }

// IdentityAt returns which file path names now: the zero identity when none.
func IdentityAt(path string) (Identity, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return Identity{}, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	// BACKUP_SEMANTICS opens directories too.
	h, err := windows.CreateFile(name, 0, share, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if errors.Is(err, os.ErrNotExist) {
		return Identity{}, nil
	}
	if err != nil {
		return Identity{}, err
	}
	defer windows.CloseHandle(h)
	id, _, err := Handle(h).Identity()
	return id, err
}

// Unlink removes a file that others may have open. FAT, network drives and older
// systems keep the name of a removed file until all have closed it, and let nobody
// make another in its place: so it is moved out of the way first.
func Unlink(path string) error {
	dir, name := filepath.Split(path)
	aside := dir + AsidePrefix + name // the janitors know it
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	return os.Remove(aside)
}

// Denied reports whether err says that the system will go on to refuse what was asked
// until somebody changes the files, or the rights to them. ERROR_ACCESS_DENIED does
// not: it is said of a file that is being removed, too.
func Denied(err error) bool {
	for _, e := range []error{
		windows.ERROR_WRITE_PROTECT, windows.ERROR_INVALID_NAME, windows.ERROR_DIRECTORY,
		windows.ERROR_BAD_PATHNAME, windows.ERROR_FILENAME_EXCED_RANGE,
		windows.ERROR_CANT_RESOLVE_FILENAME, windows.ERROR_PRIVILEGE_NOT_HELD,
		ErrIrregular,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Unreadable reports whether err says that we lack the right to open a file, or that
// it is being removed, or is a directory.
func Unreadable(err error) bool { return errors.Is(err, windows.ERROR_ACCESS_DENIED) }

// Irregular reports whether err says of a path that it names no regular file.
func Irregular(err error) bool { return errors.Is(err, ErrIrregular) }

// Exhausted reports whether err says that too many files are open.
func Exhausted(err error) bool {
	return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES)
}
