package backendtest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/internal/leak"
)

// An echo is a server that says again whatever it is told, a line a time.
type echo struct {
	*testing.T
	listener net.Listener
	running  sync.WaitGroup
	heard    chan string // "" is the end of a connection
}

func newEcho(t *testing.T) *echo {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{T: t, listener: l, heard: make(chan string, 100)}
	e.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.running.Go(func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					e.heard <- lines.Text()
					fmt.Fprintln(c, lines.Text())
				}
				e.heard <- ""
			})
		}
	})
	return e
}

func (e *echo) close() {
	e.listener.Close()
	e.running.Wait()
}

func (e *echo) dial(p *backendtest.Proxy) net.Conn {
	e.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { c.Close() })
	return c
}

// hears fails the test unless that is what the server hears next, in any order.
func (e *echo) hears(want ...string) {
	e.Helper()
	var got []string
	for range want {
		select {
		case line := <-e.heard:
			got = append(got, line)
		case <-time.After(10 * time.Second):
			e.Fatalf("the server has heard %q, want %q", got, want)
		}
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		e.Fatalf("the server has heard %q, want %q", got, want)
	}
}

// say writes a line.
func (e *echo) say(c net.Conn, line string) {
	e.Helper()
	if _, err := fmt.Fprintln(c, line); err != nil {
		e.Fatal(err)
	}
}

// reads fails the test unless that is what comes next.
func (e *echo) reads(c net.Conn, want string) {
	e.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, len(want)+1)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != want+"\n" {
		e.Fatalf("read %q, %v; want %q", buf, err, want)
	}
}

// ended fails the test unless the connection ends.
func (e *echo) ended(c net.Conn) {
	e.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		e.Fatalf("%d bytes, %v; want the end", n, err)
	}
}

// silent fails the test when something comes, or has been heard.
func (e *echo) silent(c net.Conn) {
	e.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		e.Fatalf("%d bytes, %v; want silence", n, err)
	}
	select {
	case line := <-e.heard:
		e.Fatalf("the server has heard %q", line)
	default:
	}
}

func TestProxy(t *testing.T) {
	for name, run := range map[string]func(e *echo, p *backendtest.Proxy){
		"passes both ways": func(e *echo, p *backendtest.Proxy) {
			c := e.dial(p)
			e.say(c, "one")
			e.hears("one")
			e.reads(c, "one")
			c.Close()
			e.hears("")
		},
		"delays answers": func(e *echo, p *backendtest.Proxy) {
			const late = 100 * time.Millisecond
			c := e.dial(p)
			p.Delay(late)
			began := time.Now()
			e.say(c, "one")
			e.reads(c, "one")
			if took := time.Since(began); took < late {
				e.Errorf("the answer came after %v", took)
			}
			p.Delay(time.Hour)
			e.say(c, "two")
			e.hears("one", "two")
			e.silent(c)
			p.Delay(0)
			e.reads(c, "two")
		},
		"pauses and resumes": func(e *echo, p *backendtest.Proxy) {
			c := e.dial(p)
			e.say(c, "one")
			e.hears("one")
			e.reads(c, "one")
			p.Pause()
			e.say(c, "two")
			e.silent(c)
			other := e.dial(p)
			e.say(other, "three")
			e.silent(other)
			c.Close()
			e.silent(other)
			p.Resume()
			e.hears("two", "three", "")
			e.reads(other, "three")
		},
		"cuts, and loses answers": func(e *echo, p *backendtest.Proxy) {
			c := e.dial(p)
			p.Delay(time.Hour)
			e.say(c, "one")
			e.hears("one")
			late := p.Cut()
			e.ended(c)
			e.hears("")
			late()
			p.Delay(0)
			c = e.dial(p)
			e.say(c, "two")
			e.hears("two")
			e.reads(c, "two")
		},
		"cuts while paused, and delivers late": func(e *echo, p *backendtest.Proxy) {
			c := e.dial(p)
			e.say(c, "one")
			e.hears("one")
			e.reads(c, "one")
			p.Pause()
			e.say(c, "two")
			fresh := e.dial(p)
			e.say(fresh, "three")
			e.silent(c) // and so it is on its way
			late := p.Cut()
			e.ended(c)
			e.ended(fresh)
			p.Resume()
			c = e.dial(p)
			e.say(c, "four")
			e.hears("four")
			e.reads(c, "four")
			e.silent(c)
			late()
			e.hears("two", "", "three", "")
		},
		"ends with the server": func(e *echo, p *backendtest.Proxy) {
			e.listener.Close()
			c := e.dial(p)
			e.ended(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left func() []string
			t.Run("run", func(t *testing.T) {
				left = leak.Watch(func() {
					e := newEcho(t)
					t.Cleanup(e.close)
					run(e, backendtest.NewProxy(t, e.listener.Addr().String()))
				})
			})
			for _, stack := range leak.Gone(left, 10*time.Second) {
				t.Errorf("a goroutine is left:\n%s", stack)
			}
		})
	}
}
