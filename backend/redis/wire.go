package redis

import (
	"context"
	"net"
	"sync"
)

// A wire is the connections of a session. go-redis does not look up from a read
// when a context is cancelled: closing the connection makes it.
type wire struct {
	mu    sync.Mutex
	conns map[*wireConn]struct{}
}

type wireConn struct {
	net.Conn
	wire *wire
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// over returns dial with all that it dials noted down.
func (w *wire) over(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if deadline, ok := ctx.Deadline(); ok {
			// Whoever dials may rely on ctx to end, which a timed one does not.
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline)
			defer cancel()
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &wireConn{Conn: conn, wire: w}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.conns == nil {
			w.conns = make(map[*wireConn]struct{})
		}
		w.conns[c] = struct{}{}
		return c, nil
	}
}

// cut closes all connections. Others may be dialled after it.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Conn.Close()
	}
	clear(w.conns)
}

func (c *wireConn) Close() error {
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}
