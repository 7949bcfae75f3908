// Package flock opens and makes files for locks by flock(2), or its like elsewhere, and
// holds what differs between systems about that: errors, rights, names, who has locked
// what.
//
// Read handle_unix.go first: a Handle is what a session holds a lock by.
package flock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// AsidePrefix begins the names of files that are not yet ready, or being removed: whoever
// clears a directory up removes those that stay.
const AsidePrefix = ".dlock-probe-"

// ErrIrregular says that a path names something else than a regular file. It is neither
// followed nor waited for.
var ErrIrregular = errors.New("not a regular file")

// A Lock is one that some process of this machine holds.
type Lock struct {
	PID    int
	Shared bool
	File   Identity
}

// WithLock runs f while it holds a file that others hold for a read and a write, and
// waits for that until ctx ends. path is for the error.
func (h Handle) WithLock(ctx context.Context, path string, f func() error) error {
	for {
		ok, err := h.TryLock()
		if err != nil {
			return &fs.PathError{Op: "lock", Path: path, Err: err}
		}
		if ok {
			defer h.Unlock()
			return f()
		}
		select {
		case <-time.After(100 * time.Microsecond):
		case <-ctx.Done():
			return fmt.Errorf("%s stayed locked by somebody else: %w", path, context.Cause(ctx))
		}
	}
}
