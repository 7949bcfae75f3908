package testbed

import (
	"io"
	"net"
	"testing"
	"time"
)

// echo starts a server that says what it is told.
func echo(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// travel returns a connection by a route that takes d longer.
func travel(t *testing.T, d time.Duration) (*Route, net.Conn) {
	w := &Testbed{RedisAddr: echo(t)}
	r, err := w.Route(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Cut)
	if r.Testbed.RedisAddr == w.RedisAddr || r.Testbed.PostgresURL != "" || len(r.proxies) != 1 {
		t.Fatalf("the way to %+v is %+v", w, r.Testbed)
	}
	c, err := net.Dial("tcp", r.Testbed.RedisAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return r, c
}

// say says something and returns the time until it came back.
func say(c net.Conn) (time.Duration, error) {
	start := time.Now()
	if _, err := c.Write([]byte("hello")); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return time.Since(start), err
}

func TestARouteTakesLonger(t *testing.T) {
	const longer = 20 * time.Millisecond
	_, c := travel(t, longer)
	for range 3 {
		if took, err := say(c); err != nil || took < longer {
			t.Errorf("there and back in %v: %v", took, err)
		}
	}
}

func TestARouteIsCut(t *testing.T) {
	r, c := travel(t, 0)
	if _, err := say(c); err != nil {
		t.Fatal(err)
	}
	r.Cut()
	if _, err := say(c); err == nil {
		t.Error("it goes on")
	}
	if c, err := net.Dial("tcp", r.Testbed.RedisAddr); err == nil {
		c.Close()
		t.Error("there are new connections")
	}
}

func TestARouteIsSilent(t *testing.T) {
	r, c := travel(t, 0)
	if _, err := say(c); err != nil {
		t.Fatal(err)
	}
	r.Silence()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := say(c)
	if e, ok := err.(net.Error); !ok || !e.Timeout() {
		t.Errorf("it is not silent: %v", err)
	}
}
