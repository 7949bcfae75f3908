package register

import (
	"encoding/binary"
	"io"
	"net"
)

type values struct{ fenced, plain int64 }

type request struct {
	do     uint8
	name   int32
	token  uint64
	values values
}

const (
	requestSize = 1 + 4 + 8 + 8 + 8
	answerSize  = 8 + 8
)

func parse(b []byte) request {
	return request{
		do:    b[0],
		name:  int32(binary.LittleEndian.Uint32(b[1:])),
		token: binary.LittleEndian.Uint64(b[5:]),
		values: values{
			int64(binary.LittleEndian.Uint64(b[13:])),
			int64(binary.LittleEndian.Uint64(b[21:])),
		},
	}
}

// A Client is a connection to a Server, for one goroutine.
type Client struct{ conn net.Conn }

// Dial connects to the server at path.
func Dial(path string) (*Client, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// An Increment is a register pair that was read and not yet written.
type Increment struct {
	client *Client
	name   int32
	token  uint64
	was    values
}

// Begin reads the registers of a name.
func (c *Client) Begin(name int, token uint64) (Increment, error) {
	i := Increment{client: c, name: int32(name), token: token}
	var err error
	i.was, err = c.do(request{do: read, name: i.name, token: token})
	return i, err
}

// End writes what was read plus 1. That a stale token is refused is no error.
func (i Increment) End() error {
	_, err := i.client.do(request{do: write, name: i.name, token: i.token, values: values{i.was.fenced + 1, i.was.plain + 1}})
	return err
}

func (c *Client) do(q request) (values, error) {
	var out [requestSize]byte
	out[0] = q.do
	binary.LittleEndian.PutUint32(out[1:], uint32(q.name))
	binary.LittleEndian.PutUint64(out[5:], q.token)
	binary.LittleEndian.PutUint64(out[13:], uint64(q.values.fenced))
	binary.LittleEndian.PutUint64(out[21:], uint64(q.values.plain))
	if _, err := c.conn.Write(out[:]); err != nil {
		return values{}, err
	}
	var in [answerSize]byte
	if _, err := io.ReadFull(c.conn, in[:]); err != nil {
		return values{}, err
	}
	return values{int64(binary.LittleEndian.Uint64(in[0:])), int64(binary.LittleEndian.Uint64(in[8:]))}, nil
}
