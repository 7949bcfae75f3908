package flock

import "os"

// Here files inherit the rights to their directory.

// Create makes a file, unless it is there.
func Create(path string, _ bool) (Handle, error) { return Open(path, New) }

// MakeDir makes a directory, unless it is there.
func MakeDir(path string) error { return os.Mkdir(path, 0o777) }

// Share has nothing to do.
func (Handle) Share(string, bool) bool { return true }
