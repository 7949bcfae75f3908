package redisconn

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Wire is the connections of a session. go-redis does not look up from a read
// when a context is cancelled: closing the connection makes it.
//
// While a session is being opened its wire has no time limits, for whoever opens it
// has his own.
type Wire struct {
	mu      sync.Mutex
	opening bool
	reached bool // a server was connected to
	shaking bool // a handshake of TLS was begun, before that
	conns   map[*wireConn]struct{}
	dials   map[*context.CancelFunc]struct{} // those under way
}

type wireConn struct {
	net.Conn
	wire *Wire
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns what connects with these settings of TLS, or nil without it. Its
// context bounds all of it.
func (w *Wire) dialer(config *tls.Config) dialer {
	plain := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if config == nil {
		return plain.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.shaking = true
		w.mu.Unlock()
		config := config
		if config.ServerName == "" {
			config = config.Clone()
			config.ServerName, _, _ = net.SplitHostPort(addr)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		return secure, nil
	}
}

// Over returns dial with all that it dials noted down.
func (w *Wire) Over(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, done := w.dialing(ctx)
		defer done()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return unreached{err}, nil
		}
		c := &wireConn{Conn: conn, wire: w}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reached = true
		if w.conns == nil {
			w.conns = make(map[*wireConn]struct{})
		}
		w.conns[c] = struct{}{}
		return c, nil
	}
}

// dialing returns the context of a connection that is being made.
func (w *Wire) dialing(ctx context.Context) (_ context.Context, done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var cancel context.CancelFunc
	switch deadline, ok := ctx.Deadline(); {
	case w.opening:
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	case ok:
		// Whoever dials may rely on ctx to end, which a timed one does not.
		ctx, cancel = context.WithDeadline(ctx, deadline)
	default:
		ctx, cancel = context.WithCancel(ctx)
	}
	if w.dials == nil {
		w.dials = make(map[*context.CancelFunc]struct{})
	}
	key := &cancel
	w.dials[key] = struct{}{}
	return ctx, func() {
		cancel()
		w.mu.Lock()
		delete(w.dials, key)
		w.mu.Unlock()
	}
}

// Open begins the time without limits.
func (w *Wire) Open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opening = true
}

// Opened ends it. What is under way has so long from now on.
func (w *Wire) Opened(patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.opening {
		return
	}
	w.opening = false
	for c := range w.conns {
		c.Conn.SetDeadline(time.Now().Add(patience))
	}
	for cancel := range w.dials {
		time.AfterFunc(patience, *cancel)
	}
}

// Unlimited reports whether the session is being opened.
func (w *Wire) Unlimited() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opening
}

// Reaching returns at which step of reaching a server the session still is, or "" where
// one was ever reached. A server that does not speak TLS may wait for more of it.
func (w *Wire) Reaching() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.reached:
		return ""
	case w.shaking:
		return "TLS handshake"
	}
	return "connecting"
}

// Cut closes all connections, and gives up those that are being made. Others may be
// dialled after it.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Conn.Close()
	}
	clear(w.conns)
	for cancel := range w.dials {
		(*cancel)()
	}
}

// CutAfter cuts from the end of ctx on until stop is called, again and again: a
// connection may be made just then, and it would be without time limits while the
// session is being opened.
func (w *Wire) CutAfter(ctx context.Context) (stop func()) {
	over := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		for {
			w.Cut()
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return func() {
		unhook()
		close(over)
	}
}

func (c *wireConn) Close() error {
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}

// limit returns the deadline to be set for one that go-redis asks for.
func (c *wireConn) limit(set func(time.Time) error, t time.Time) error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	if c.wire.opening {
		t = time.Time{}
	}
	return set(t)
}

func (c *wireConn) SetDeadline(t time.Time) error      { return c.limit(c.Conn.SetDeadline, t) }
func (c *wireConn) SetReadDeadline(t time.Time) error  { return c.limit(c.Conn.SetReadDeadline, t) }
func (c *wireConn) SetWriteDeadline(t time.Time) error { return c.limit(c.Conn.SetWriteDeadline, t) }

// Size returns how many connections there are, or are being made.
func (w *Wire) Size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns) + len(w.dials)
}

// WithDeadline returns a context with a deadline at which it does not end.
func WithDeadline(ctx context.Context, deadline time.Time) context.Context {
	return timed{ctx, deadline}
}

// A timed context has a deadline at which it does not end: go-redis sets it on the
// connection, which needs no timer of ours.
type timed struct {
	context.Context
	deadline time.Time
}

func (c timed) Deadline() (time.Time, bool) { return c.deadline, true }
