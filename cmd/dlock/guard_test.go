//go:build unix

package main

import (
	"syscall"
	"testing"
)

func TestKilledDlockTakesItsCommandAlong(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := s.sh(stubborn)
	pids := []int{first.number(), first.number()}
	second := s.sh("echo mine")
	s.waiting(1)
	first.signal(syscall.SIGKILL)
	second.exits(0, "mine\n")
	gone(t, pids...)
}

// All of the job is killed, as by timeout -s KILL.
func TestKilledJobTakesItsCommandAlong(t *testing.T) {
	t.Parallel()
	p := newStore(t).sh(stubborn)
	pids := []int{p.number(), p.number()}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pids...)
}

// Where the lock does not matter for the command, dlock does not either.
func TestKilledDlockIsIgnored(t *testing.T) {
	t.Parallel()
	p := newStore(t).sh("echo $$; read line; echo $line; exec sleep 60", "--on-lost=ignore")
	pid := p.number()
	p.signal(syscall.SIGKILL)
	_, _ = p.cmd.Process.Wait() // A signal at a parent's death is under way by now.
	p.enter("alive")
	p.expect("alive")
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	gone(t, pid)
}

// A guard that is in the wrong hands does no harm.
func TestGuardOfNothing(t *testing.T) {
	t.Parallel()
	for input, code := range map[string]int{"": 0, "1\n": 64, "-1\n": 64, "x\n": 64} {
		p := start(t, guardName)
		if _, err := p.stdin.Write([]byte(input)); err != nil {
			t.Fatal(err)
		}
		p.stdin.Close()
		p.exits(code, "")
	}
}
