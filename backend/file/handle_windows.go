package file

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"

	"github.com/dlock-go/dlock/backend"
)

// A handle is an open file of its own: a lock that is taken through it belongs
// to it alone and excludes the other handles of the process. Unlike an os.File
// it does not keep others from deleting or renaming the file.
type handle windows.Handle

const noHandle = handle(windows.InvalidHandle)

// Ways to open a file.
const (
	openExisting = iota
	openNew
	openToRead
)

// open opens a regular file, and nothing else: others may have put anything in its
// place.
func open(path string, how int) (handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return noHandle, err
	}
	access := uint32(windows.GENERIC_READ | windows.GENERIC_WRITE)
	disposition := uint32(windows.OPEN_EXISTING)
	switch how {
	case openNew:
		disposition = windows.CREATE_NEW
	case openToRead:
		access = windows.GENERIC_READ
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	// No security attributes: the handle is not inherited.
	h, err := windows.CreateFile(name, access, share, nil, disposition,
		windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return noHandle, err
	}
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		windows.CloseHandle(h)
		return noHandle, err
	}
	if info.FileAttributes&(windows.FILE_ATTRIBUTE_REPARSE_POINT|windows.FILE_ATTRIBUTE_DIRECTORY) != 0 {
		windows.CloseHandle(h)
		return noHandle, errIrregular
	}
	return handle(h), nil
}

func (h handle) close() error { return windows.CloseHandle(windows.Handle(h)) }

// lockedByte is the byte that locks are taken on. Locks are mandatory here, so it
// lies where nobody reads or writes.
func lockedByte() *windows.Overlapped {
	return &windows.Overlapped{OffsetHigh: 1 << 30}
}

// tryLock locks the file in mode and reports false when somebody else keeps it
// from doing so. Every other obstacle is an error: to take it for either answer
// would be to grant, or to wait, in vain.
func (h handle) tryLock(mode backend.Mode) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if mode != backend.Shared {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(h), flags, 0, 1, 0, lockedByte())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

func (h handle) unlock() error {
	return windows.UnlockFileEx(windows.Handle(h), 0, 1, 0, lockedByte())
}

// identity returns which file the handle is open on, and when it was last used.
func (h handle) identity() (identity, time.Time, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(h), &info); err != nil {
		return identity{}, time.Time{}, err
	}
	id := identity{uint64(info.VolumeSerialNumber), uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}
	return id, time.Unix(0, info.LastWriteTime.Nanoseconds()), nil
}

// linked reports whether the file may have another name, somewhere else: what is
// written to it would be written there.
func (h handle) linked() bool {
	var info windows.ByHandleFileInformation
	return windows.GetFileInformationByHandle(windows.Handle(h), &info) != nil || info.NumberOfLinks > 1
}

// touch sets when the file was last used.
func (h handle) touch(now time.Time) error {
	t := windows.NsecToFiletime(now.UnixNano())
	return windows.SetFileTime(windows.Handle(h), nil, nil, &t)
}

func (h handle) readAt(p []byte, off int64) (int, error) {
	var n uint32
	o := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
	err := windows.ReadFile(windows.Handle(h), p, &n, &o)
	if errors.Is(err, windows.ERROR_HANDLE_EOF) {
		err = nil
	}
	return int(n), err
}

func (h handle) writeAt(p []byte, off int64) (int, error) {
	var n uint32
	o := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
	err := windows.WriteFile(windows.Handle(h), p, &n, &o)
	return int(n), err
}

// An identity tells files apart for as long as they are open somewhere. The zero
// identity is that of no file.
type identity struct{ volume, index uint64 }

// identityAt returns which file path names now: the zero identity when none.
func identityAt(path string) (identity, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return identity{}, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	// BACKUP_SEMANTICS opens directories too.
	h, err := windows.CreateFile(name, 0, share, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, err
	}
	defer windows.CloseHandle(h)
	id, _, err := handle(h).identity()
	return id, err
}

// unlink removes a file that others may have open. FAT, network drives and older
// systems keep the name of a removed file until all have closed it, and let nobody
// make another in its place: so it is moved out of the way first.
func unlink(path string) error {
	dir, name := filepath.Split(path)
	aside := dir + probePrefix + name // the janitors know it
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	return os.Remove(aside)
}

// denied reports whether err says that the system will go on to refuse what was asked
// until somebody changes the files, or the rights to them. ERROR_ACCESS_DENIED does
// not: it is said of a file that is being removed, too.
func denied(err error) bool {
	for _, e := range []error{
		windows.ERROR_WRITE_PROTECT, windows.ERROR_INVALID_NAME, windows.ERROR_DIRECTORY,
		windows.ERROR_BAD_PATHNAME, windows.ERROR_FILENAME_EXCED_RANGE,
		windows.ERROR_CANT_RESOLVE_FILENAME, windows.ERROR_PRIVILEGE_NOT_HELD,
		errIrregular, errLinked, errNoDirectory,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// unreadable reports whether err says that we lack the right to open a file, or that
// it is being removed, or is a directory.
func unreadable(err error) bool { return errors.Is(err, windows.ERROR_ACCESS_DENIED) }

// irregular reports whether err says of a path that it names no regular file.
func irregular(err error) bool { return errors.Is(err, errIrregular) }

// exhausted reports whether err says that too many files are open.
func exhausted(err error) bool {
	return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES)
}
