package file

import (
	"errors"
	"fmt"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// explain adds to an error of the file system what it says to those who would try
// again: that nothing can come of it, or not before somebody changes something.
// Whatever else goes wrong can pass: a full disk, too many open files, a server that
// does not answer.
func explain(err error) error {
	for _, known := range []error{backend.ErrUnsupported, backend.ErrDenied, backend.ErrLimit} {
		if errors.Is(err, known) {
			return err
		}
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%w: %w", backend.ErrUnsupported, err)
	case flock.Denied(err), errors.Is(err, errLinked), errors.Is(err, errNoDirectory):
		return fmt.Errorf("%w: %w", backend.ErrDenied, err)
	}
	return err
}

// refusal answers an Acquire that err kept from taking effect. There is none for a
// Release: a file that cannot be unlocked is closed, which the system does not refuse.
func refusal(err error) backend.Result {
	err = explain(err)
	for _, lasting := range []error{backend.ErrUnsupported, backend.ErrDenied, backend.ErrLimit} {
		if errors.Is(err, lasting) {
			return failed(err)
		}
	}
	return backend.Result{State: backend.Refused, Err: err}
}
