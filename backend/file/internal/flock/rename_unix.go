//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package flock

import "os"

// renameByLink renames a file, unless the name is taken, where the system has no call
// for that. For a directory it is enough that only an empty one is replaced.
func renameByLink(from, to string) error {
	if info, err := os.Lstat(from); err != nil || info.IsDir() {
		return os.Rename(from, to)
	}
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
