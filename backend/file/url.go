package file

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

func init() {
	backend.Register("file", func(rawURL string) (backend.Backend, error) {
		dir, err := dirOf(rawURL)
		if err != nil {
			return nil, err
		}
		return New(dir), nil
	})
}

// dirOf returns the directory that a file URL names. What it refuses it does not
// repeat: somebody may have put a password there.
func dirOf(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL
		}
		return "", fmt.Errorf("dlock: malformed file URL: %w", err)
	}
	switch {
	case u.User != nil:
		return "", errors.New("dlock: a file URL has no user")
	case u.Host != "" && !strings.EqualFold(u.Host, "localhost"):
		return "", fmt.Errorf("dlock: a file URL names no other host than localhost, not %q (a relative directory is file:dir, an absolute one file:///dir)", u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("dlock: a file URL has neither ? nor #; in a path they are written %3F and %23")
	}
	dir := u.Path
	if u.Opaque != "" { // file:relative/dir
		if dir, err = url.PathUnescape(u.Opaque); err != nil {
			return "", fmt.Errorf("dlock: malformed file URL: %w", err)
		}
	}
	if dir == "" {
		return "", errors.New("dlock: a file URL names a directory, as file:///var/lock/app")
	}
	if runtime.GOOS == "windows" && len(dir) >= 3 && dir[0] == '/' && dir[2] == ':' {
		dir = dir[1:] // file:///C:/dir
	}
	return filepath.FromSlash(dir), nil
}
