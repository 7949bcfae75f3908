package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// Whoever may write to the directory can put something else where a file is
// expected. It is neither followed nor waited for, and nothing is written to it.
var (
	errLinked      = errors.New("the file has another name elsewhere, and is not written to")
	errNoDirectory = errors.New("not a directory (a link is not followed)")
)

// checkInternal returns an error if the internal directory of dir is there and is
// none.
func checkInternal(dir string) error {
	path := filepath.Join(dir, internalDir)
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: errNoDirectory}
	}
	return nil // what else is wrong is found by who uses it
}

// makeInternal makes the internal directory of dir, and dir, if need be.
func makeInternal(dir string) (err error) {
	path := filepath.Join(dir, internalDir)
	for range patience {
		if err = os.MkdirAll(dir, 0o777); err == nil {
			if err = checkInternal(dir); err != nil {
				return err
			}
			// To make what is there would wait on a file system that is frozen.
			if id, err := flock.IdentityAt(path); err != nil || id != (flock.Identity{}) {
				return err
			}
			err = flock.MakeDir(path)
		}
		switch {
		case err == nil, errors.Is(err, fs.ErrExist):
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return &fs.PathError{Op: "mkdir", Path: path, Err: err}
		}
	}
	return err
}
