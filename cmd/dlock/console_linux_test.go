package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A console is a terminal with a program that leads a session on it, such as a
// shell.
type console struct {
	t    *testing.T
	cmd  *exec.Cmd
	keys *os.File
	done chan struct{} // closed by read

	mu     sync.Mutex
	screen strings.Builder
	passed int // how much of it was expected
}

// newConsole starts a program on a terminal of its own.
func newConsole(t *testing.T, path string, args ...string) *console {
	t.Helper()
	keys, screen := openPTY(t)
	c := &console{t: t, cmd: exec.Command(path, args...), keys: keys, done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "TERM=xterm", "PS1=$ ", "DLOCK="+binary)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = screen, screen, screen
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close()
	go c.read()
	t.Cleanup(func() {
		killSession(c.cmd.Process.Pid)
		_ = c.cmd.Wait()
		<-c.done
	})
	return c
}

// killSession kills all processes of a session. Not all of them hear of the end of
// its leader, least of all one that is stopped.
func killSession(leader int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended since.
		}
		var state string
		var parent, group, session int
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if _, bad := fmt.Sscan(rest, &state, &parent, &group, &session); err == nil && bad == nil && session == leader {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// read ends when nobody has the terminal open any more.
func (c *console) read() {
	defer close(c.done)
	b := make([]byte, 4096)
	for {
		n, err := c.keys.Read(b)
		c.mu.Lock()
		c.screen.Write(b[:n])
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// text returns what is on the screen behind what was expected so far.
func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.screen.String()[c.passed:]
}

// expect waits until text appears.
func (c *console) expect(text string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if i := strings.Index(c.text(), text); i >= 0 {
			c.mu.Lock()
			c.passed += i + len(text)
			c.mu.Unlock()
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%q does not come; the screen has %q", text, c.screen.String())
		}
	}
}

// press presses keys.
func (c *console) press(keys string) {
	c.t.Helper()
	if _, err := c.keys.Write([]byte(keys)); err != nil {
		c.t.Fatal(err)
	}
}

// interrupt presses Ctrl-C until the program ends. A shell that is interrupted
// just before it starts another program waits for that.
func (c *console) interrupt() {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		_, _ = c.keys.Write([]byte(ctrlC)) // It fails when nobody has the terminal any more.
		select {
		case <-c.done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("it does not end; the screen has %q", c.text())
		}
	}
}

// exits waits for the end.
func (c *console) exits(code int) {
	c.t.Helper()
	watchdog := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer watchdog.Stop()
	_ = c.cmd.Wait()
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d, want %d; the screen has %q", got, code, c.text())
	}
}

// Control keys.
const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)
