package backend

import "fmt"

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
	case op.Class == Semaphore && (op.Limit == 0 || op.Limit > MaxLimit):
		return fmt.Errorf("%w: %d is not in 1…%d", ErrLimit, op.Limit, MaxLimit)
	case op.Class != Semaphore && op.Limit != 1:
		return fmt.Errorf("%w: a limit of %d for a %v", ErrUnsupported, op.Limit, op.Class)
	}
	return nil
}
