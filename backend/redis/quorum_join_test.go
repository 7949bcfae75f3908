package redis_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
)

// A lossyLink loses the first answer of one server to a script that it was sent by its
// source, and the connection with it.
type lossyLink struct {
	addr string
	lost atomic.Bool
}

type lossyConn struct {
	net.Conn
	link *lossyLink
	addr string
	lose bool
}

func (l *lossyLink) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &lossyConn{Conn: conn, link: l, addr: addr}, nil
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if c.addr == c.link.addr && bytes.Contains(b, []byte("\r\neval\r\n")) && c.link.lost.CompareAndSwap(false, true) {
		c.lose = true
	}
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.lose {
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// TestQuorumJoinWithoutAnswer loses one node's answer to who makes itself known there,
// and expects its vote all the same.
func TestQuorumJoinWithoutAnswer(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	link := &lossyLink{addr: d.servers[0].Addr()}
	s := session(t, d.store(t, client.UniversalOptions{Dialer: link.dial}), 5*time.Second)
	granted(t, s, mutexOp(1, "n"))
	until(t, "the vote of the node", func() bool {
		leases(t, s)
		return votes(t, d.servers[0], "h") == 1
	})
	if !link.lost.Load() {
		t.Error("no answer was lost")
	}
}
