package file

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// locked runs f while it holds a file that others hold for a read and a write, and
// waits for that until ctx ends. path is for the error.
func (h handle) locked(ctx context.Context, path string, f func() error) error {
	for {
		ok, err := h.tryLock(backend.Exclusive)
		if err != nil {
			return &fs.PathError{Op: "lock", Path: path, Err: err}
		}
		if ok {
			defer h.unlock()
			return f()
		}
		select {
		case <-time.After(100 * time.Microsecond):
		case <-ctx.Done():
			return fmt.Errorf("%s stayed locked by somebody else: %w", path, context.Cause(ctx))
		}
	}
}
