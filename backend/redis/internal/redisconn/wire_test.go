package redisconn

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// Who dials may wait for the end of its context.
func TestDialEnds(t *testing.T) {
	dial := new(Wire).Over(func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Second):
			return nil, errors.New("the context does not end")
		}
	})
	conn, err := dial(WithDeadline(t.Context(), time.Now().Add(time.Millisecond)), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	// A pool would log it if it heard of it sooner.
	if _, err := conn.Write([]byte("PING")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
