package redisconn

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// Broken reports whether a connection has ended that was there before.
func Broken(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op) && op.Op != "dial" && !op.Timeout() && !errors.Is(err, net.ErrClosed)
}

// Reason returns why ctx has ended, or else err: an answer that was cut short says
// nothing of use. A connection may see the deadline of ctx first.
func Reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return err
}
