package redisconn

import (
	"net"
	"time"
)

// An unreached connection stands for one that could not be made: whoever uses it hears
// why. A pool of go-redis that hears of it from its dialer writes a line to the log of
// the process each time, and goes on dialling for a while after it was closed.
type unreached struct{ why error }

func (u unreached) Read([]byte) (int, error)  { return 0, u.why }
func (u unreached) Write([]byte) (int, error) { return 0, u.why }
func (unreached) Close() error                { return nil }

func (unreached) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (unreached) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (unreached) SetDeadline(time.Time) error      { return nil }
func (unreached) SetReadDeadline(time.Time) error  { return nil }
func (unreached) SetWriteDeadline(time.Time) error { return nil }
