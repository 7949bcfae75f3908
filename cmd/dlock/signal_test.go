//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"testing"
)

// tattler tells by name of the signals that it gets. TERM ends it with 3.
const tattler = `
	trap 'echo int' INT; trap 'echo hup' HUP; trap 'echo quit' QUIT; trap 'echo usr1' USR1
	trap 'echo term; exit 3' TERM
	echo ready
	sleep 60 >/dev/null 2>&1 &
	while :; do wait; done
`

func TestSignalsReachTheCommand(t *testing.T) {
	p := newStore(t).sh(tattler)
	p.expect("ready")
	for _, c := range []struct {
		sig  syscall.Signal
		line string
	}{
		{syscall.SIGINT, "int"},
		{syscall.SIGHUP, "hup"},
		{syscall.SIGQUIT, "quit"},
		{syscall.SIGUSR1, "usr1"},
	} {
		p.signal(c.sig)
		p.expect(c.line)
	}
	p.signal(syscall.SIGTERM)
	p.exits(3, "term\n")
}

func TestSignalEndsTheWait(t *testing.T) {
	s := newStore(t)
	first := s.holder()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		p := s.sh("echo not reached")
		s.waiting(1)
		p.signal(sig)
		p.exits(128+int(sig), "")
		if n := s.waiters(); n != 0 {
			t.Errorf("%v: %d places are left in the queue", sig, n)
		}
	}
	first.enter("")
	first.exits(0, "done\n")
}

// What nohup protects stays protected.
func TestIgnoredSignalStaysIgnored(t *testing.T) {
	s := newStore(t)
	p := launch(t, exec.Command("sh", "-c", `trap '' HUP; exec "$0" "$@"`,
		binary, "run", "--url", s.url(), "demo", "--", "sh", "-c", `echo ready; read line; kill -HUP $$; echo "$line"`))
	p.expect("ready")
	p.signal(syscall.SIGHUP)
	p.enter("still here")
	p.exits(0, "still here\n")
}

func TestSignalsReachTheWholeGroup(t *testing.T) {
	p := newStore(t).sh(`trap : USR1; sh -c 'trap "echo usr1; exit" USR1; echo ready; while :; do sleep 0.01; done' & wait; wait; exit 4`)
	p.expect("ready")
	p.signal(syscall.SIGUSR1)
	p.exits(4, "usr1\n")
}
