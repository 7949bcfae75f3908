//go:build darwin || dragonfly || freebsd

package fstype

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Local reports whether dir, or where it will be made, is on a file system
// of this machine alone.
func Local(dir string) bool {
	var st unix.Statfs_t
	for {
		switch err := unix.Statfs(dir, &st); {
		case err == nil:
			return st.Flags&unix.MNT_LOCAL != 0
		case err == unix.EINTR:
		case os.IsNotExist(err) && dir != filepath.Dir(dir):
			dir = filepath.Dir(dir)
		default:
			return true // and Open tells what is wrong
		}
	}
}
