package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Names returns the names in a directory. Unlike os.Open, it lets others remove
// the directory meanwhile, and is not kept out by those who do.
func Names(dir string) ([]string, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return nil, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_READ, share, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(h), dir)
	defer d.Close()
	return d.Readdirnames(-1)
}

// BeingRemoved reports whether err is that of a file or directory that somebody has
// removed and others still have open: soon it is gone. A right that is missing looks the
// same.
func BeingRemoved(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_DELETE_PENDING)
}
