//go:build unix

package main

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// deaf returns the URL of a server that takes connections and does not answer.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "redis://" + l.Addr().String()
}

// A bound holds from the start of dlock on, whatever the store does, and so do signals.
func TestBoundsFromTheStart(t *testing.T) {
	t.Parallel()
	url := deaf(t)
	for _, c := range []struct {
		name  string
		flags []string
		sig   syscall.Signal // sent at once
		code  int
		words string
	}{
		{"-w", []string{"-w", "300ms"}, 0, 75, "within 300ms"},
		{"-w with -E", []string{"-w", "300ms", "-E", "7"}, 0, 7, "within 300ms"},
		{"-n", []string{"-n"}, 0, 69, "did not say"},
		{"-w 0", []string{"-w", "0"}, 0, 69, "did not say"},
		{"TERM", nil, syscall.SIGTERM, 143, ""},
		{"INT", []string{"-w", "1h"}, syscall.SIGINT, 130, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			args := append([]string{"run", "--url", url}, c.flags...)
			p := start(t, append(args, "demo", "--", "echo", "not reached")...)
			if c.sig != 0 {
				time.Sleep(200 * time.Millisecond) // It may be about to connect, or be connecting.
				p.signal(c.sig)
			}
			if c.sig == 0 {
				p.exits(c.code, "")
				p.complains(c.words)
			} else {
				p.endsBy(c.sig)
			}
			if took := time.Since(begin); took > reach-time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// endsBy waits for an end that sig has brought about: dlock may not have caught it yet.
func (p *program) endsBy(sig syscall.Signal) {
	p.t.Helper()
	_ = p.cmd.Wait()
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.ExitStatus() != exitSignal+int(sig) && status.Signal() != sig {
		p.t.Errorf("%v, want it to end by %v; standard error: %s", p.cmd.ProcessState, sig, p.errors())
	}
}

func TestWaitOfZero(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.sh("echo free", "-w", "0").exits(0, "free\n")
	holder := s.holder()
	for _, zero := range []string{"0", "0s", "0.0"} {
		p := s.sh("echo not reached", "-w", zero)
		p.exits(75, "")
		p.complains("is busy")
	}
	s.sh("echo not reached", "-w", "0", "-E", "3").exits(3, "")
	holder.enter("")
	holder.exits(0, "done\n")
}
