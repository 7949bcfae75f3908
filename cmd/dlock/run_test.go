//go:build unix

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestStandardStreamsPassThrough(t *testing.T) {
	p := newStore(t).sh("cat; echo to standard error >&2")
	p.enter("one")
	p.expect("one")
	p.enter("two")
	p.stdin.Close()
	p.exits(0, "two\n")
	if got := p.errors(); got != "to standard error\n" {
		t.Errorf("standard error is %q", got)
	}
}

func TestExitCodeIsThatOfTheCommand(t *testing.T) {
	s := newStore(t)
	for script, code := range map[string]int{
		"exit 0":        0,
		"exit 7":        7,
		"exit 255":      255,
		"kill -TERM $$": 128 + 15,
		"kill -KILL $$": 128 + 9,
	} {
		p := s.sh(script)
		p.exits(code, "")
		if got := p.errors(); got != "" {
			t.Errorf("%s: standard error is %q", script, got)
		}
	}
}

func TestWrongUse(t *testing.T) {
	for _, c := range []struct{ args, words string }{
		{"", "subcommand"},
		{"walk", "walk"},
		{"run", "name"},
		{"run -- true", "name"},
		{"run demo", "--"},
		{"run demo true", "--"},
		{"run demo --", "command"},
		{"run demo more -- true", "more"},
		{"run --frob demo -- true", "frob"},
		{"run -w soon demo -- true", "soon"},
		{"run -w 5 demo -- true", "10s"},
		{"run -w -1s demo -- true", "-1s"},
		{"run -n -w 1s demo -- true", "exclude"},
		{"run --url nonsense demo -- true", "scheme"},
		{"run --url gopher://x demo -- true", "gopher"},
		{"run --url file://host/dir demo -- true", "host"},
	} {
		p := start(t, strings.Fields(c.args)...)
		p.exits(64, "")
		p.complains(c.words)
	}
	p := start(t, "run", "--url", "", "demo", "--", "true")
	p.exits(64, "")
	p.complains("url")
}

func TestFlagsMayFollowTheName(t *testing.T) {
	s := newStore(t)
	first := s.holder()
	second := start(t, "run", "demo", "-n", "--url", s.url(), "--", "echo", "not reached")
	second.exits(75, "")
	first.enter("")
	first.exits(0, "done\n")
}

func TestVariableNamesTheStore(t *testing.T) {
	s := newStore(t)
	first := s.holder()
	t.Setenv("DLOCK_URL", s.url())
	start(t, "run", "-n", "demo", "--", "true").exits(75, "")
	start(t, "run", "-n", "--url", "memory:", "demo", "--", "true").exits(0, "")
	first.enter("")
	first.exits(0, "done\n")
}

func TestCommandThatCannotBeRun(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		command string
		code    int
	}{
		"no such command":     {"no-such-command-anywhere", 127},
		"no such file":        {filepath.Join(dir, "missing"), 127},
		"no such interpreter": {write("orphan", "#!/no/such/interpreter\n", 0o755), 127},
		"not executable":      {write("plain", "true\n", 0o644), 126},
		"a directory":         {dir, 126},
		"not a program":       {write("garbage", "\x00\x01\x02\x03", 0o755), 126},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "run", "--url", s.url(), "demo", "--", c.command)
			p.exits(c.code, "")
			p.complains(c.command)
		})
	}
	// None of them left the mutex behind.
	s.sh("echo free", "-n").exits(0, "free\n")
}

func TestStoreOutOfReach(t *testing.T) {
	below := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(below, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{below, filepath.Join(below, "dir")} {
		p := start(t, "run", "--url", "file://"+dir, "demo", "--", "echo", "not reached")
		p.exits(69, "")
		p.complains(below)
	}
}

func TestSecondWaits(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "result")
	first := s.sh("echo held; read line; echo result >" + path)
	first.expect("held")
	second := s.sh("cat " + path)
	s.waiting(1)
	first.enter("")
	first.exits(0, "")
	second.exits(0, "result\n")
}

// Each appends to one file that it is there and, a moment later, that it leaves.
// Whoever is there with another spoils the pattern.
func TestOnlyOneAtATime(t *testing.T) {
	s := newStore(t)
	log := filepath.Join(t.TempDir(), "log")
	const n = 8
	var all []*program
	for range n {
		all = append(all, s.sh("echo in >>"+log+"; sleep 0.01; echo out >>"+log))
	}
	for _, p := range all {
		p.exits(0, "")
	}
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.Repeat("in\nout\n", n) {
		t.Errorf("two at once:\n%s", got)
	}
}

func TestBusy(t *testing.T) {
	s := newStore(t)
	first := s.holder()
	second := s.sh("echo not reached", "-n")
	second.exits(75, "")
	second.complains("demo", "busy")
	first.enter("")
	first.exits(0, "done\n")
	s.sh("echo mine", "-n").exits(0, "mine\n")
}

func TestWaitEndsInTime(t *testing.T) {
	s := newStore(t)
	first := s.holder()
	begin := time.Now()
	second := s.sh("echo not reached", "-w", "100ms")
	second.exits(75, "")
	second.complains("demo", "100ms")
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("gave up after %v", took)
	}
	s.waiting(0)
	third := s.sh("echo mine", "-w", "1h")
	s.waiting(1)
	first.enter("")
	first.exits(0, "done\n")
	third.exits(0, "mine\n")
}

func TestKilledHolderMakesRoom(t *testing.T) {
	s := newStore(t)
	gone := filepath.Join(t.TempDir(), "gone")
	first := s.sh("trap 'echo >" + gone + "; exit' TERM; echo held; sleep 60 & wait")
	first.expect("held")
	second := s.sh("echo mine")
	s.waiting(1)
	first.signal(syscall.SIGKILL)
	second.exits(0, "mine\n")
	if runtime.GOOS != "linux" {
		return
	}
	// Its command has been told that it is alone no more.
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(gone); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the command of a killed dlock goes on")
		}
	}
}

func TestLostLockEndsTheCommand(t *testing.T) {
	s := newStore(t)
	p := s.sh("trap 'echo told; exit 3' TERM; echo held; sleep 60 >/dev/null & wait")
	p.expect("held")
	path := file.Path(s.dir, backend.Mutex, "demo")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.exits(3, "told\n")
	for _, want := range []string{"lost", path, "told to end"} {
		if !strings.Contains(p.errors(), want) {
			t.Errorf("standard error is %q, want it to say %q", p.errors(), want)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"help", "-h", "--help", "run --help", "run -h demo -- true"} {
		out, err := exec.Command(binary, strings.Fields(args)...).Output()
		if err != nil || !strings.Contains(string(out), "dlock run [--url URL]") {
			t.Errorf("%s: %v, printed %q", args, err, out)
		}
	}
	out, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "dlock ") || !strings.Contains(string(out), runtime.Version()) {
		t.Errorf("version: %v, printed %q", err, out)
	}
}
