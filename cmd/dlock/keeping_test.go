//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The lock is kept although the command has ended.
func TestAtLeast(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		s := newStore(t)
		p := s.sh("echo $$; exit 7", "--at-least", "1h")
		gone(t, p.number())
		s.sh("echo not reached", "-n").exits(75, "")
		p.signal(sig)
		p.endsBy(sig)
		s.sh("echo free", "-w", "20s").exits(0, "free\n")
	}
	begin := time.Now()
	newStore(t).sh("exit 7", "--at-least", "1s").exits(7, "")
	if took := time.Since(begin); took < time.Second {
		t.Errorf("kept for %v", took)
	}
	// No longer than the command takes, if that is more, and not for one that did not run.
	newStore(t).sh("sleep 0.1; exit 7", "--at-least", "1ms").exits(7, "")
	s := newStore(t)
	start(t, "run", "--url", s.url(), "--at-least", "1h", "demo", "--", s.dir).exits(126, "")
}

// A lock that is lost while it is kept is told like any other.
func TestAtLeastLost(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := s.sh("echo $$; exit 7", "--at-least", "1h")
	gone(t, p.number())
	s.lose()
	p.exits(121, "")
	p.complains("before its time was over")
}

// By default dlock ends with the command, and with --wait-children when its children have
// ended, too, unless they are not to be waited for.
func TestWaitChildren(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, child string
		flags       []string
		waits       bool
	}{
		{"default", "", nil, false},
		{"wait", "", []string{"--wait-children"}, true},
		{"closed", "exec 3>&-;", []string{"--wait-children"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			end := filepath.Join(s.dir, "end")
			p := s.sh("("+c.child+"exec >/dev/null 2>&1; while [ -d '"+s.dir+"' -a ! -e '"+end+"' ]; do sleep 0.02; done) & echo $$; exit 7", c.flags...)
			defer os.WriteFile(end, nil, 0o666)
			gone(t, p.number())
			if c.waits {
				s.sh("echo not reached", "-n").exits(75, "")
				if err := os.WriteFile(end, nil, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			p.exits(7, "")
			s.sh("echo free", "-n").exits(0, "free\n")
		})
	}
}

// buried waits until a command is not even a zombie, so that dlock has seen its end.
func buried(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the command goes on")
		}
	}
}

// A signal ends the wait for children that do not hear it, and goes to those that do.
func TestWaitChildrenSignal(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := s.sh(`echo $$; sh -c 'trap "" TERM; echo $$; exec >/dev/null 2>&1; while :; do sleep 0.1; done' & read line; exit 7`, "--wait-children")
	command, child := p.number(), p.number()
	defer syscall.Kill(child, syscall.SIGKILL)
	p.enter("")
	buried(t, command)
	p.signal(syscall.SIGTERM)
	p.exits(143, "")
}

// When dlock is killed while it waits for children, they end, too.
func TestWaitChildrenKilled(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := s.sh(`(exec >/dev/null 2>&1; while :; do sleep 0.1; done) & echo $!; echo $$; exit 7`, "--wait-children")
	child, command := p.number(), p.number()
	buried(t, command)
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
	gone(t, child)
}
