package coordinator

import (
	"errors"
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

var (
	// ErrLost: the hold ended without its holder's doing, and somebody else may
	// hold the lock.
	ErrLost = errors.New("dlock: lock lost")
	// ErrReleased: the hold was given back.
	ErrReleased = errors.New("dlock: lock released")
	// ErrBusy: the lock is held, or others wait for it, and the call does not
	// wait.
	ErrBusy = errors.New("dlock: lock busy")
	// ErrClosed: the client is closed.
	ErrClosed = backend.ErrClosed
	// ErrLimit: the semaphore is in use with another limit.
	ErrLimit = backend.ErrLimit
	// ErrLapsed is the ErrLost of a lease that was not renewed in time.
	ErrLapsed = fmt.Errorf("%w: lease not renewed in time", ErrLost)
)

// errClosing ends the holds that Close gives back.
var errClosing = fmt.Errorf("%w: %w", ErrReleased, ErrClosed)

func lost(why error) error {
	if why == nil || errors.Is(why, ErrLost) {
		return ErrLost
	}
	return fmt.Errorf("%w: %w", ErrLost, why)
}
