//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// path is the file of the lock.
func (s *store) path() string { return file.Path(s.dir, backend.RWMutex, "demo") }

// lose takes the lock away from its holder.
func (s *store) lose() {
	s.t.Helper()
	if err := os.Remove(s.path()); err != nil {
		s.t.Fatal(err)
	}
}

// says checks that standard error has the words.
func (p *program) says(words ...string) {
	p.t.Helper()
	for _, want := range words {
		if !strings.Contains(p.errors(), want) {
			p.t.Errorf("standard error is %q, want it to say %q", p.errors(), want)
		}
	}
}

// stubborn does not end by TERM, and neither does its child. It prints the numbers
// of both.
const stubborn = `trap 'echo term' TERM; sh -c 'trap "" TERM; echo $$; while :; do sleep 60; done' & echo $$; while :; do wait; done`

// number reads the number of a process, a line.
func (p *program) number() int {
	p.t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%v; standard error: %s", err, p.errors())
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// gone waits until processes are no more, or at least no more than zombies.
func gone(t *testing.T, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d goes on", pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// alive reports whether a process runs.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(rest, "Z")
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		return false
	}
	return syscall.Kill(pid, 0) == nil
}

func TestLostLockEndsTheCommand(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			if err := os.WriteFile(path+".new", nil, 0o666); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	} {
		s := newStore(t)
		p := s.sh("trap 'echo told; exit 3' TERM; sleep 60 >/dev/null & echo held; wait")
		p.expect("held")
		if err := lose(s.path()); err != nil {
			t.Fatal(err)
		}
		p.exits(121, "told\n")
		p.says("lost", s.path(), "told to end")
		if strings.Contains(p.errors(), "killed") {
			t.Errorf("%s: standard error is %q", name, p.errors())
		}
	}
}

func TestLostLockKillsTheStubborn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const grace = 300 * time.Millisecond
	p := s.sh(stubborn, "--grace", grace.String())
	pids := []int{p.number(), p.number()}
	begin := time.Now()
	s.lose()
	p.exits(121, "term\n")
	if took := time.Since(begin); took < grace {
		t.Errorf("killed after %v, the grace is %v", took, grace)
	}
	gone(t, pids...)
	p.says("told to end", "killed")
}

// The children of a command may need the grace, even if the command does not.
func TestGraceIsForChildrenToo(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "cleaned")
	p := s.sh(`sh -c 'trap "sleep 0.2; echo >` + path + `; exit" TERM; echo held; exec >&-; while :; do sleep 0.05; done' & wait`)
	p.expect("held")
	s.lose()
	p.exits(121, "")
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOnLostKill(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := s.sh(stubborn, "--on-lost=kill")
	pids := []int{p.number(), p.number()}
	s.lose()
	p.exits(121, "")
	gone(t, pids...)
	p.says("lost", "killed")
}

func TestOnLostIgnore(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := s.sh("echo held; read line; echo done; exit 5", "--on-lost", "ignore")
	p.expect("held")
	s.lose()
	for deadline := time.Now().Add(patience); p.errors() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("dlock does not say that the lock is lost")
		}
	}
	p.enter("")
	p.exits(5, "done\n")
	p.complains("lost", "goes on")
}

// The store falls silent. The command has to be gone before the lease ends.
func TestLeaseThatIsNotRenewed(t *testing.T) {
	t.Parallel()
	const grace = time.Second
	for name, c := range map[string]struct {
		script, output string
		words          []string
	}{
		"obedient": {"trap 'echo term; exit' TERM; echo $$; echo $$; while :; do sleep 0.01; done", "term\n", []string{"renewed", "told to end"}},
		"stubborn": {stubborn, "term\n", []string{"renewed", "told to end", "killed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			p := start(t, "run", "--url", "leased://"+s.dir, "--ttl", lease.String(), "--grace", grace.String(),
				"demo", "--", "sh", "-c", c.script)
			pids := []int{p.number(), p.number()}
			time.Sleep(lease + lease/6) // It is renewed. Nothing can be seen of that but this.
			if err := os.WriteFile(filepath.Join(s.dir, silence), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			p.expect(strings.TrimSpace(c.output))
			p.exits(121, "")
			// No hold of the lock outlasts the lease, and the command no hold; the
			// rest is patience.
			if took := time.Since(begin); took > 2*lease {
				t.Errorf("ended after %v", took)
			}
			gone(t, pids...)
			p.says(c.words...)
		})
	}
}

func TestLeaseThatIsRenewedAfterAll(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := start(t, "run", "--url", "leased://"+s.dir, "--ttl", lease.String(), "--grace", "1500ms",
		"demo", "--", "sh", "-c", "trap 'echo term' TERM; echo held; while :; do read line && exit 9; done")
	p.expect("held")
	if err := os.WriteFile(filepath.Join(s.dir, silence), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.expect("term")
	if err := os.Remove(filepath.Join(s.dir, silence)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); !strings.Contains(p.errors(), "renewed after all"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("standard error is %q", p.errors())
		}
	}
	time.Sleep(lease / 2) // Past the deadline that stood then.
	p.enter("")
	p.exits(121, "")
}

// A loss that nothing tells of is found by the release. The directory is moved away,
// which is looked for each second alone.
func TestLossThatTheReleaseFinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		action string
		code   int
	}{{"term", 121}, {"kill", 121}, {"ignore", 5}} {
		s := newStore(t)
		p := s.sh("mv '"+s.dir+"' '"+s.dir+"~'; exit 5", "--on-lost", test.action)
		p.exits(test.code, "")
		if n := strings.Count(p.errors(), "lock lost"); n != 1 {
			t.Errorf("--on-lost %s: the loss is told %d times: %q", test.action, n, p.errors())
		}
	}
}
