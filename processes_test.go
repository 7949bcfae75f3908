package dlock_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// roleVariable makes the test binary act as one of several processes.
const roleVariable = "DLOCK_TEST_ROLE"

// processMutex is the name of the mutex of the children.
const processMutex = "name"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "hold", "count":
		if err := act(role, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// act is what a child does. It says what it has done, and goes on when told to.
func act(role, url, path string) error {
	ctx := context.Background()
	locks, err := dlock.Open(ctx, url)
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	mu := locks.Mutex(processMutex)
	fmt.Println("ready")
	in.Scan()
	if role == "count" {
		for range 500 {
			if err := mu.Do(ctx, func(context.Context) error { return increment(path) }); err != nil {
				return err
			}
		}
	} else {
		mu.Lock()
		fmt.Println("held")
		in.Scan()
		mu.Unlock()
	}
	fmt.Println("done")
	return locks.Close(ctx)
}

// increment adds 1 to the number in a file, as unsafely as can be.
func increment(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(b))
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strconv.Itoa(n+1)), 0o644)
}

// A child is another process.
type child struct {
	cmd *exec.Cmd
	in  io.Writer
	out chan string // the lines it says; closed when it is over
}

func spawn(t *testing.T, role, url, file string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe, url, file), out: make(chan string, 8)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer close(c.out)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			c.out <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // If it is still there.
		<-heard
		_ = c.cmd.Wait()
	})
	return c
}

func (c *child) tell() { fmt.Fprintln(c.in) }

func (c *child) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-c.out:
		if got != want {
			t.Fatalf("a child says %q, not %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("a child does not say %q", want)
	}
}

// Eight processes queue one after the other and are served in that order; and
// when every third of those that wait, and every third that holds, is killed,
// the others still are.
func TestProcessesInOrder(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("kill=%v", kill), func(t *testing.T) {
			dir := t.TempDir()
			url := file.New(dir).String()
			const n = 8
			var children []*child
			for range n {
				c := spawn(t, "hold", url, "-")
				c.expect(t, "ready")
				children = append(children, c)
			}
			for i, c := range children {
				c.tell()
				if i == 0 {
					c.expect(t, "held")
				} else {
					queued(t, dir, i)
				}
			}
			if kill {
				for i := 2; i < n; i += 3 { // Waiters.
					if err := children[i].cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i, c := range children {
				if kill && i%3 == 2 {
					continue
				}
				if i > 0 {
					c.expect(t, "held")
				}
				for _, later := range children[i+1:] {
					select {
					case got, ok := <-later.out:
						if ok {
							t.Fatalf("a later process says %q before its turn", got)
						}
					default:
					}
				}
				if kill && i%3 == 0 {
					if err := c.cmd.Process.Kill(); err != nil { // A holder.
						t.Fatal(err)
					}
					continue
				}
				c.tell()
				c.expect(t, "done")
			}
		})
	}
}

// queued waits until n processes stand in the queue for the mutex that they hold
// in turns.
func queued(t *testing.T, dir string, n int) {
	t.Helper()
	var waiters []backend.Participant
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var err error
		if _, waiters, err = file.New(dir).Inspect(t.Context(), backend.Mutex, processMutex); err != nil {
			t.Fatal(err)
		}
		if len(waiters) == n {
			return
		}
	}
	t.Fatalf("%d in the queue, not %d", len(waiters), n)
}

// Eight processes increment a number in a file, 500 times each.
func TestProcessesCount(t *testing.T) {
	dir := t.TempDir()
	url := file.New(dir).String()
	number := filepath.Join(dir, "number")
	if err := os.WriteFile(number, []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	var children []*child
	for range 8 {
		c := spawn(t, "count", url, number)
		c.expect(t, "ready")
		children = append(children, c)
	}
	for _, c := range children {
		c.tell()
	}
	for _, c := range children {
		select {
		case got := <-c.out:
			if got != "done" {
				t.Fatalf("a child says %q", got)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("a child is stuck")
		}
	}
	b, err := os.ReadFile(number)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(b)); got != "4000" {
		t.Errorf("8 × 500 increments make %s", got)
	}
}
