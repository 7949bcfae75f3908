package backend

import (
	"errors"
	"fmt"
)

// Check returns why no store can carry out the Acquire, or nil. Drivers call it for
// an owner that is new.
func (op *Op) Check() error {
	switch {
	case op.Name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case op.Owner == 0:
		return fmt.Errorf("%w: an owner of zero", ErrUnsupported)
	case op.Class < Mutex || op.Class > Semaphore:
		return fmt.Errorf("%w: class %d", ErrUnsupported, op.Class)
	case op.Mode != Exclusive && (op.Mode != Shared || op.Class != RWMutex):
		return fmt.Errorf("%w: mode %d of a %v", ErrUnsupported, op.Mode, op.Class)
	case op.Class == Semaphore && op.Limit == 0:
		return fmt.Errorf("%w: a semaphore without tickets", ErrLimit)
	}
	return nil
}

// ErrOwner is the cause of a Failed result when the owner of an Acquire stands for
// another one.
var ErrOwner = errors.New("dlock: owner is in use for another lock")
