package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// format is the number of the format that the files in a directory have. It rises
// with each change by which sessions of different versions would not understand each
// other: the names of lock files, what is locked, what the files say.
const format = 1

// formatName is that of the file in the internal directory that says the number, in
// decimal.
const formatName = "format"

// setFormat makes the directory say its format if it does not yet, and returns an
// error if that is another one than ours.
func setFormat(ctx context.Context, dir string) error {
	found, err := readFormat(dir)
	if found || err != nil {
		return err
	}
	path := formatPath(dir)
	h, err := create(path, true)
	if err != nil {
		return err
	}
	defer h.Close()
	if h.Linked() {
		return &fs.PathError{Op: "write", Path: path, Err: errLinked}
	}
	// Two may find nothing, and be of different versions.
	return h.WithLock(ctx, path, func() error {
		found, err := parseFormat(h, dir)
		if found || err != nil {
			return err
		}
		if _, err := h.WriteAt([]byte(strconv.Itoa(format)+"\n"), 0); err != nil {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	})
}

// readFormat reports whether the directory says its format, and returns an error if
// that is another one than ours. It writes nothing.
func readFormat(dir string) (found bool, err error) {
	h, err := flock.Open(formatPath(dir), flock.ToRead)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: formatPath(dir), Err: err}
	}
	defer h.Close()
	return parseFormat(h, dir)
}

func parseFormat(h flock.Handle, dir string) (found bool, err error) {
	var b [32]byte
	n, err := h.ReadAt(b[:], 0)
	if err != nil {
		return false, &fs.PathError{Op: "read", Path: formatPath(dir), Err: err}
	}
	text := strings.TrimSpace(string(b[:n]))
	switch number, err := strconv.ParseUint(text, 10, 32); {
	case text == "": // its writer is about to write, or died before
		return false, nil
	case err != nil || number == 0:
		return false, fmt.Errorf("%w: %s says %q, which is no number of a format", backend.ErrUnsupported, formatPath(dir), text)
	case number > format:
		return false, fmt.Errorf("%w: the locks in %s have format %d, and this version of dlock knows none above %d",
			backend.ErrUnsupported, dir, number, format)
	}
	return true, nil
}

func formatPath(dir string) string { return filepath.Join(dir, internalDir, formatName) }
