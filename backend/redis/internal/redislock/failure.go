package redislock

import (
	"errors"

	"github.com/dlock-go/dlock/backend"
)

// Why a session ends, or an op has no answer.
var (
	ErrDeadline = errors.New("not renewed within its time to live")
	ErrLost     = errors.New("dlock: the hold of this owner was lost")
	// ErrStraggler explains an op whose node has not answered when the others had.
	ErrStraggler = errors.New("the node has not answered yet")
)

// Lasting reports whether a refusal stays the same until somebody changes the server.
func Lasting(why error) bool {
	return errors.Is(why, backend.ErrDenied) || errors.Is(why, backend.ErrUnsupported)
}
