//go:build unix

package redis_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/internal/redistest"
)

// TestStoppedHolder stops a process for longer than its lease, and asks it when
// it wakes up.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	url := "redis://" + s.Addr()
	c := open(t, url, time.Second)
	p := startHolder(t, url)
	var token uint64
	if _, err := fmt.Sscanf(p.hear(), "token %d", &token); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3500 * time.Millisecond) // more than three times to live
	if got := p.ask(); got != "held" {
		t.Fatalf("after more than its first expiry the lock is %s", got)
	}
	p.cmd.Process.Signal(syscall.SIGSTOP)
	h := acquire(t, c.Mutex("a"))
	p.cmd.Process.Signal(syscall.SIGCONT)
	if got := p.ask(); got != "lost" {
		t.Errorf("a process that was stopped believes that its lock is %s", got)
	}
	if next, _ := h.Token(); next <= token {
		t.Errorf("token %d came after %d", next, token)
	}
	release(t, h)
}

// TestQuorumStoppedHolder stops a process for longer than its lease, while another holds
// and releases its lock. It never believes again that it holds it.
func TestQuorumStoppedHolder(t *testing.T) {
	t.Parallel()
	url := urlOn(startNodes(t, 3)) + "?max-ttl=1s"
	c := open(t, url, time.Second)
	p := startHolder(t, url)
	var token uint64
	if _, err := fmt.Sscanf(p.hear(), "token %d", &token); err != nil {
		t.Fatal(err)
	}
	p.cmd.Process.Signal(syscall.SIGSTOP)
	h := acquire(t, c.Mutex("a"))
	if next, _ := h.Token(); next <= token {
		t.Errorf("token %d came after %d", next, token)
	}
	release(t, h)
	p.cmd.Process.Signal(syscall.SIGCONT)
	for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
		if got := p.ask(); got != "lost" {
			t.Fatalf("a process that was stopped believes that its lock is %s", got)
		}
	}
	release(t, acquire(t, c.Mutex("a")))
}

// TestKilledHolder expects the lock of a killed process to be free when its lease
// has ended, and not before.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	url := "redis://" + s.Addr()
	c := open(t, url, time.Second)
	p := startHolder(t, url)
	p.hear()
	p.cmd.Process.Kill()
	began := time.Now()
	release(t, acquire(t, c.Mutex("a")))
	if d := time.Since(began); d < 400*time.Millisecond || d > 5*time.Second {
		t.Errorf("the lock was free %v after its holder was killed, with a time to live of 1 s and renewals every third of it", d)
	}
}
