package redis_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
)

// holderURL is the environment variable that makes the test binary a process that
// holds the mutex "a" and says of each line of its input whether it still does.
const holderURL = "DLOCK_REDIS_TEST_HOLDER"

func holder(url string) error {
	ctx := context.Background()
	c, err := dlock.Open(ctx, url, dlock.WithTTL(time.Second), dlock.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	h, err := c.Mutex("a").Acquire(ctx)
	if err != nil {
		return err
	}
	token, _ := h.Token()
	fmt.Println("token", token)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		// Both are looked at without giving the timers of the process time to fire.
		select {
		case <-h.Lost():
			fmt.Println("lost")
		default:
			if h.Err() != nil {
				fmt.Println("lost")
			} else {
				fmt.Println("held")
			}
		}
	}
	return nil
}

// A child is a process that holds a lock.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func startHolder(t *testing.T, url string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), holderURL+"="+url)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	return c
}

func (c *child) hear() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the child says nothing more: %v", err)
	}
	return strings.TrimSpace(line)
}

func (c *child) ask() string {
	fmt.Fprintln(c.in)
	return c.hear()
}
