//go:build unix

package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/dlock-go/dlock"
)

// The namespace of a lock is that of Go programs.
func TestNamespace(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	holder := s.holder("--namespace", "app")
	client, err := dlock.Open(t.Context(), s.url(), dlock.WithNamespace("app"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	if _, err := client.RWMutex("demo").TryAcquire(t.Context()); !errors.Is(err, dlock.ErrBusy) {
		t.Error(err)
	}
	s.sh("echo another", "-n").exits(0, "another\n")
	s.sh("echo another", "-n", "--namespace=web").exits(0, "another\n")
	p := s.sh("echo not reached", "-n", "--namespace=app")
	p.exits(75, "")
	p.complains("held by")
	for _, verb := range []string{"status", "inspect"} {
		busy, free := exitBusy, 0
		if verb == "inspect" {
			busy = 0
		}
		start(t, verb, "--url", s.url(), "demo").exits(free, "demo: free\n")
		p := start(t, verb, "--url", s.url(), "--namespace", "app", "demo")
		if _, err := p.stdout.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Wait()
		if code := p.cmd.ProcessState.ExitCode(); code != busy {
			t.Errorf("%s: exit code %d", verb, code)
		}
		// The variable is for all of them, and the flag counts for more.
		cmd := exec.Command(binary, verb, "--url", s.url(), "--json", "demo")
		cmd.Env = append(cmd.Environ(), "DLOCK_NAMESPACE=app")
		if out, _ := cmd.Output(); strings.Contains(string(out), `"free": true`) || strings.Contains(string(out), `"holders": []`) {
			t.Errorf("%s: %s", verb, out)
		}
		cmd = exec.Command(binary, verb, "--url", s.url(), "--namespace=", "demo")
		cmd.Env = append(cmd.Environ(), "DLOCK_NAMESPACE=app")
		if out, _ := cmd.Output(); string(out) != "demo: free\n" {
			t.Errorf("%s: %s", verb, out)
		}
	}
	holder.enter("")
	holder.exits(0, "done\n")
}

// A name may begin with a dash.
func TestNameFlag(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	start(t, "run", "--url", s.url(), "--name=-x", "--", "sh", "-c", "echo $DLOCK_NAME").exits(0, "-x\n")
	start(t, "run", "--url", s.url(), "--name", "--", "--", "sh", "-c", "echo $DLOCK_NAME").exits(64, "")
	start(t, "status", "--url", s.url(), "--name=-x").exits(0, "-x: free\n")
}

// What users of flock(1) write is understood.
func TestFlagsOfFlock(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, flags := range [][]string{{"-x"}, {"-e"}, {"-o"}, {"-xon"}, {"--exclusive", "--close"}} {
		s.sh("echo mine", flags...).exits(0, "mine\n")
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("no flock here")
	}
	s := newStore(t)
	for _, flags := range [][]string{nil, {"--mutex"}, {"--namespace", "app"}} {
		out, err := exec.Command(binary, append(append([]string{"path", "--url", s.url()}, flags...), "demo")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		path := strings.TrimSuffix(string(out), "\n")
		if !strings.HasPrefix(path, s.dir+"/demo-") && !strings.HasPrefix(path, s.dir+"/_app_demo-") {
			t.Errorf("%q", path)
		}
		holder := s.holder(flags...)
		if exec.Command(flock, "-n", path, "true").Run() == nil {
			t.Errorf("%v: %s is not locked", flags, path)
		}
		holder.enter("")
		holder.exits(0, "done\n")
		if err := exec.Command(flock, "-n", path, binary, "run", "-n", "--url", s.url(), "other", "--", "true").Run(); err != nil {
			t.Error(err)
		}
	}
}

// A command that waited for the lock of its own dlock would wait for ever.
func TestNestedRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outer, inner string
		code         int
	}{
		{"", "", 64},
		{"", "-w 1h", 64},
		{"", "-s", 64},
		{"-s", "", 64},
		{"-s", "-s", 0},
		{"", "-n", 75},
		{"", "--mutex", 0},
		{"--mutex", "--mutex", 64},
		{"--slots 1", "--slots 1", 64},
		{"--slots 2", "--slots 2", 0},
		{"--slots 2", "--slots 1", 64},
		{"--namespace a", "", 0},
		{"--namespace a", "--namespace a", 64},
	} {
		s := newStore(t)
		line := func(flags string) []string {
			return append([]string{"run", "--url", s.url()}, append(strings.Fields(flags), "demo", "--")...)
		}
		inner := append([]string{binary}, append(line(c.inner), "true")...)
		p := start(t, append(line(c.outer), append([]string{"sh", "-c", `"$@"; exit $?`, "sh"}, inner...)...)...)
		p.exits(c.code, "")
		if c.code == 64 {
			p.complains("wait for itself")
		}
	}
	// What is left in the background does not wait for itself.
	s := newStore(t)
	p := s.sh(`(while kill -0 $PPID 2>/dev/null && [ ! -e "` + s.dir + `/go" ]; do sleep 0.01; done; exec "` + binary + `" run --url ` + s.url() + ` demo -- echo later) & exit 4`)
	_ = p.cmd.Process
	q := s.holder("-w", "20s")
	if err := exec.Command("touch", s.dir+"/go").Run(); err != nil {
		t.Fatal(err)
	}
	q.enter("")
	q.exits(0, "done\n")
	p.exits(4, "later\n")
}
