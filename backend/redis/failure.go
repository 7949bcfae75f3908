package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// Why a session ends, or an op has no answer.
var (
	errDeadline = errors.New("not renewed within its time to live")
	errLost     = errors.New("dlock: the hold of this owner was lost")
	// errStraggler explains an op whose node has not answered when the others had.
	errStraggler = errors.New("the node has not answered yet")
)

// broken reports whether a connection has ended that was there before.
func broken(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op) && op.Op != "dial" && !op.Timeout() && !errors.Is(err, net.ErrClosed)
}

// reason returns why ctx has ended, or else err: an answer that was cut short says
// nothing of use. A connection may see the deadline of ctx first.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return err
}
