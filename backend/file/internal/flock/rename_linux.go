package flock

import (
	"os"

	"golang.org/x/sys/unix"
)

// rename gives what is at a path another one, unless that is taken.
func rename(from, to string) error {
	for {
		switch err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err {
		case unix.EINTR:
		case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP:
			return renameByLink(from, to) // a file system that does not know that
		case nil:
			return nil
		default:
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
	}
}
