//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that a test waits for.
const patience = 30 * time.Second

// A program is a running dlock. It is in a session of its own, without a
// terminal, and all that is left of it in the end is killed.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr string // the file that it goes to
}

// start starts dlock with args.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return launch(t, exec.Command(binary, args...))
}

// launch starts a command that is, or becomes, dlock.
func launch(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, stderr: filepath.Join(t.TempDir(), "stderr")}
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A test that waits in vain sees the end of the output.
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	watchdog := time.AfterFunc(patience, kill)
	t.Cleanup(func() {
		watchdog.Stop()
		kill()
		_ = cmd.Wait()
	})
	return p
}

// expect reads one line of the output.
func (p *program) expect(want string) {
	p.t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil || line != want+"\n" {
		p.t.Fatalf("read %q (%v), want %q; standard error: %s", line, err, want, p.errors())
	}
}

// enter writes one line to the standard input.
func (p *program) enter(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// signal sends sig to dlock alone.
func (p *program) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exits waits for the end. It checks the exit code and what was left to read.
func (p *program) exits(code int, rest string) {
	p.t.Helper()
	output, err := io.ReadAll(p.stdout)
	if err != nil {
		p.t.Fatal(err)
	}
	err = p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		p.t.Fatal(err)
	} else if ok && !exit.Exited() {
		p.t.Fatalf("ended by %v, want exit code %d", exit, code)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code || string(output) != rest {
		p.t.Fatalf("exit code %d after %q, want %d after %q; standard error: %s", got, output, code, rest, p.errors())
	}
}

// complains checks that there is one message, of dlock itself, with the words.
func (p *program) complains(words ...string) {
	p.t.Helper()
	message := p.errors()
	if !strings.HasPrefix(message, "dlock: ") || strings.Count(message, "\n") != 1 {
		p.t.Errorf("standard error is %q, want one message of dlock", message)
	}
	for _, w := range words {
		if !strings.Contains(message, w) {
			p.t.Errorf("standard error is %q, want it to name %q", message, w)
		}
	}
}

// errors returns what was written to standard error.
func (p *program) errors() string {
	p.t.Helper()
	b, err := os.ReadFile(p.stderr)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}
