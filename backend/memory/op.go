package memory

import (
	"errors"
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// errOwner answers an Acquire under an owner that stands for another one.
var errOwner = errors.New("dlock: owner is in use for another lock")

// check returns why an Acquire cannot be carried out, or nil.
func check(op *backend.Op) error {
	switch {
	case op.Name == "":
		return fmt.Errorf("%w: it is empty", backend.ErrName)
	case op.Owner == 0:
		return fmt.Errorf("%w: an owner of zero", backend.ErrUnsupported)
	case op.Class < backend.Mutex || op.Class > backend.Semaphore:
		return fmt.Errorf("%w: class %d", backend.ErrUnsupported, op.Class)
	case op.Mode != backend.Exclusive && (op.Mode != backend.Shared || op.Class != backend.RWMutex):
		return fmt.Errorf("%w: mode %d of a %v", backend.ErrUnsupported, op.Mode, op.Class)
	case op.Class == backend.Semaphore && op.Limit == 0:
		return fmt.Errorf("%w: a semaphore of size zero", backend.ErrUnsupported)
	}
	return nil
}

// size returns how many may hold the lock of op exclusively at once.
func size(op *backend.Op) uint32 {
	if op.Class == backend.Semaphore {
		return op.Limit
	}
	return 1
}
