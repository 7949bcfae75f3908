//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
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
		{"run -w 5x demo -- true", "10s"},
		{"run -w -1s demo -- true", "-1s"},
		{"run --name= demo -- true", "--name"},
		{"run --name demo more -- true", "more"},
		{"run --at-least soon demo -- true", "soon"},
		{"path", "name"},
		{"path demo -- true", "one name"},
		{"path --url memory: demo", "directory"},
		{"run -w", "-w DURATION"},
		{"run -n -w 1s demo -- true", "exclude"},
		{"run -s --slots 2 demo -- true", "exclude"},
		{"run -s --mutex demo -- true", "exclude"},
		{"run --mutex --slots=2 demo -- true", "exclude"},
		{"run --slots 0 demo -- true", "2147483647"},
		{"run --slots 2147483648 demo -- true", "2147483647"},
		{"run --shared=yes demo -- true", "--shared takes no value"},
		{"run -E 3 demo -- true", "-E"},
		{"run -n -E 256 demo -- true", "255"},
		{"run --ttl 99ms demo -- true", "100ms"},
		{"run --on-lost=pray demo -- true", "ignore"},
		{"run --grace 1s --on-lost kill demo -- true", "--on-lost=kill"},
		{"run --grace 6s demo -- true", "--ttl"},
		{"run --ttl 1s --grace 501ms demo -- true", "--ttl"},
		{"run -qv demo -- true", "exclude"},
		{"run --reason " + strings.Repeat("x", 1025) + " demo -- true", "1024"},
		{"status", "name"},
		{"status demo more", "one name"},
		{"status -n demo", "-n"},
		{"inspect demo -- true", "one name"},
		{"completion", "zsh"},
		{"completion tcsh", "zsh"},
		{"help walk", "walk"},
		{"version 2", "version"},
		{"run --url nonsense demo -- true", "scheme"},
		{"run --url gopher://x demo -- true", "gopher"},
		{"run --url file://host/dir demo -- true", "host"},
		{"run --url /var/lock/app demo -- true", "file:///var/lock/app"},
		{"run --url ./locks demo -- true", "file:RELATIVE/DIR"},
		{"run --url gopher://x demo -- true", "known are file"},
	} {
		p := start(t, strings.Fields(c.args)...)
		p.exits(64, "")
		p.complains(c.words)
		if strings.Contains(p.errors(), "imported") {
			t.Errorf("a user of the command can import nothing: %s", p.errors())
		}
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
	third := s.sh("echo mine", "-w3600")
	s.waiting(1)
	first.enter("")
	first.exits(0, "done\n")
	third.exits(0, "mine\n")
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"help": "dlock help SUBCOMMAND", "-h": "dlock help SUBCOMMAND", "--help": "dlock help SUBCOMMAND",
		"run --help": "--on-lost", "run -h demo -- true": "--on-lost", "run -nh": "--on-lost", "help run": "--on-lost",
		"help help": "man page", "help -h": "man page", "version -h": "Print the version",
	} {
		p := start(t, strings.Fields(args)...)
		out, err := io.ReadAll(p.stdout)
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, printed %q", args, err, out)
		}
		p.exits(0, "")
	}
	for _, args := range []string{"version", "--version"} {
		p := start(t, args)
		out, err := io.ReadAll(p.stdout)
		if err != nil || !strings.HasPrefix(string(out), "dlock ") || !strings.Contains(string(out), runtime.Version()) {
			t.Errorf("version: %v, printed %q", err, out)
		}
		p.exits(0, "")
	}
}
