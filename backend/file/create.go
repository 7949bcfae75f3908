package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// patience is how often something is tried that only fails while others remove
// files under our hands.
const patience = 100

var errRestless = errors.New("files go on being removed")

// create opens a file. It makes the file and its directory if need be, and the file
// only when it is not there: in a directory with the sticky bit Linux may refuse to
// open another user's file by a call that could make one. Who may only read the
// directory may read the file if it is for readers.
func create(path string, readers bool) (flock.Handle, error) {
	for range patience {
		h, err := flock.Open(path, flock.Existing)
		if errors.Is(err, fs.ErrNotExist) {
			h, err = flock.Create(path, readers)
		}
		switch {
		case err == nil:
			return h, nil
		case errors.Is(err, fs.ErrExist):
			continue // made by another one just now
		case !errors.Is(err, fs.ErrNotExist):
			return flock.None, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		if err := makeDir(filepath.Dir(path)); err != nil {
			return flock.None, err
		}
	}
	return flock.None, &fs.PathError{Op: "open", Path: path, Err: errRestless}
}

// makeDir makes a directory and its parents, for a caller that will find out, and
// try again, when somebody else removes them meanwhile.
func makeDir(dir string) error {
	if isOurs(filepath.Base(dir)) {
		err := flock.MakeDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if err := makeDir(filepath.Dir(dir)); err != nil {
				return err
			}
			err = flock.MakeDir(dir)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
		}
		return nil
	}
	// The user's own directory is made as the user has it.
	err := os.MkdirAll(dir, 0o777)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// isOurs reports whether a directory of that name is one of those that are made in a
// store's.
func isOurs(name string) bool {
	return name == internalDir || filepath.Ext(name) == queueSuffix
}
