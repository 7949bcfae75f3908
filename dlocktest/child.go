package dlocktest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
)

// orders is the environment variable that makes a test binary a child.
const orders = "DLOCKTEST_CHILD"

// An order tells a child which lock it has to do with.
type order struct {
	URL  string
	TTL  time.Duration
	Kind string
	Name []byte // JSON does not keep any string
}

// Main runs the tests of a package, or, in a process that the suite has started,
// takes the part of another program that uses the locks.
func Main(m *testing.M) {
	text, ok := os.LookupEnv(orders)
	if !ok {
		os.Exit(m.Run())
	}
	if err := obey(text); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// obey does what comes on standard input, a word a line, and reports on standard
// output. It ends with its input, and gives nothing back by itself.
func obey(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx := context.Background()
	c, err := dlock.Open(ctx, o.URL, dlock.WithTTL(o.TTL))
	if err != nil {
		return err
	}
	var l lock
	for _, k := range kinds {
		if k.name == o.Kind {
			l = k.value(c, string(o.Name))
		}
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "lock":
			l.Lock()
			fmt.Println("held")
		case "unlock":
			l.Unlock()
			fmt.Println("released")
		case "try":
			ok, err := l.TryLockContext(ctx)
			switch {
			case err != nil:
				return err
			case ok:
				l.Unlock()
				fmt.Println("free")
			default:
				fmt.Println("busy")
			}
		case "token":
			h, err := l.Acquire(ctx)
			if err != nil {
				return err
			}
			token, _ := h.Token()
			if err := h.Release(ctx); err != nil {
				return err
			}
			fmt.Println("token", token)
		}
	}
	return nil
}

// A child is another process that uses a lock.
type child struct {
	f     *fixture
	cmd   *exec.Cmd
	in    io.WriteCloser
	heard chan string // sent by listen, which closes it at the end of the child's output
}

// child starts a process with a lock of a kind and name. It ends with the test.
func (f *fixture) child(k kind, name string) *child {
	f.Helper()
	if k.drain > 0 {
		f.drain(k, f.name(name))
	}
	self, err := os.Executable()
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(order{URL: f.URL, TTL: f.TTL, Kind: k.name, Name: []byte(f.name(name))})
	if err != nil {
		f.Fatal(err)
	}
	// A binary whose TestMain does not call Main runs no test.
	c := &child{f: f, cmd: exec.Command(self, "-test.run=^$"), heard: make(chan string, 16)}
	c.cmd.Env = append(os.Environ(), orders+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		f.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		c.listen(out)
	}()
	f.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-listened
		_ = c.cmd.Wait()
	})
	c.hear("ready")
	return c
}

func (c *child) listen(out io.Reader) {
	defer close(c.heard)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		c.heard <- lines.Text()
	}
}

// tell gives the child something to do.
func (c *child) tell(what string) {
	c.f.Helper()
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		c.f.Fatalf("telling a child to %s: %v", what, err)
	}
}

// line waits for the next report of the child.
func (c *child) line() string {
	c.f.Helper()
	select {
	case line, ok := <-c.heard:
		if !ok {
			c.f.Fatal("a child has ended (does TestMain call dlocktest.Main?)")
		}
		return line
	case <-time.After(c.f.Patience):
		c.f.Fatalf("a child has said nothing for %v", c.f.Patience)
	}
	return ""
}

// hear waits for the child to report what it has to.
func (c *child) hear(want string) {
	c.f.Helper()
	if got := c.line(); got != want {
		c.f.Fatalf("a child says %q instead of %q", got, want)
	}
}

// silent fails the test when the child has reported anything.
func (c *child) silent() {
	c.f.Helper()
	select {
	case line := <-c.heard:
		c.f.Fatalf("a child says %q; it had to wait", line)
	default:
	}
}

// do has the child do something and waits for its report.
func (c *child) do(what, want string) {
	c.f.Helper()
	c.tell(what)
	c.hear(want)
}

// token has the child acquire and release the lock and returns its token.
func (c *child) token() uint64 {
	c.f.Helper()
	c.tell("token")
	token, err := strconv.ParseUint(strings.TrimPrefix(c.line(), "token "), 10, 64)
	if err != nil {
		c.f.Fatal(err)
	}
	return token
}

// exit ends the child's process in order, but without any release.
func (c *child) exit() {
	c.f.Helper()
	if err := c.in.Close(); err != nil {
		c.f.Fatal(err)
	}
	if _, ok := <-c.heard; ok {
		c.f.Fatal("a child had more to say than it should")
	}
}

// kill ends the child's process as a power failure would.
func (c *child) kill() {
	c.f.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.f.Fatal(err)
	}
	for range c.heard { // Its end closes the pipe.
	}
}
