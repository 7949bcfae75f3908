package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// patience is how often something is tried that only fails while others remove
// files under our hands.
const patience = 100

var errRestless = errors.New("files go on being removed")

// create opens a file. It makes the file and its directory if need be.
func create(path string) (handle, error) {
	for range patience {
		h, err := open(path, openOrCreate)
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return noHandle, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		if err := makeDir(filepath.Dir(path)); err != nil {
			return noHandle, err
		}
	}
	return noHandle, &fs.PathError{Op: "open", Path: path, Err: errRestless}
}

// makeDir makes a directory and its parents, for a caller that will find out, and
// try again, when somebody else removes them meanwhile.
func makeDir(dir string) error {
	err := os.MkdirAll(dir, 0o777)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
