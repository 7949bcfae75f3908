//go:build unix

package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ask runs status or inspect and returns what it prints.
func (s *store) ask(code int, args ...string) string {
	s.t.Helper()
	p := start(s.t, append(args, "--url", s.url(), "demo")...)
	out, err := io.ReadAll(p.stdout)
	if err != nil {
		s.t.Fatal(err)
	}
	p.exits(code, "")
	if got := p.errors(); got != "" {
		s.t.Errorf("%s: standard error is %q", args, got)
	}
	return string(out)
}

func TestStatusAndInspect(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.ask(0, "status") + s.ask(0, "inspect"); got != "demo: free\ndemo: free\n" {
		t.Errorf("a free lock: %q", got)
	}
	// The reason is made to spoil a terminal.
	holder := s.holder("--reason", "nightly \x1b[31mexport")
	writer := s.sh("true", "--reason", "too")
	s.waiting(1)
	reader := s.sh("true", "-s")
	s.waiting(2)
	slot := s.holder("--slots", "2")

	of := func(p *program) string { return strconv.Itoa(p.cmd.Process.Pid) }
	matches := func(got, want string) {
		t.Helper()
		if !regexp.MustCompile(`^` + want + `$`).MatchString(got) {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
	h := regexp.QuoteMeta(host)
	matches(s.ask(75, "status"),
		`demo: held by `+h+`, process `+of(holder)+`, for \d+s \(nightly \?\[31mexport\); 2 wait\n`+
			`demo \(slots\): held by `+h+`, process `+of(slot)+`, for \d+s\n`)
	matches(s.ask(0, "inspect"),
		`LOCK +STATE +HOST +PROCESS +FOR +TOKEN +REASON\n`+
			`lock +holds +`+h+` +`+of(holder)+` +\d+s +\d+ +nightly \?\[31mexport\n`+
			`lock +waits +`+h+` +`+of(writer)+` +\d+s +- +too\n`+
			`lock +waits shared +`+h+` +`+of(reader)+` +\d+s +- +-\n`+
			`slot +holds +`+h+` +`+of(slot)+` +\d+s +\d+ +-\n`)

	var short summary
	if err := json.Unmarshal([]byte(s.ask(75, "status", "--json")), &short); err != nil {
		t.Fatal(err)
	}
	if want := (summary{"demo", s.url(), false, 2, 2}); short != want {
		t.Errorf("status says %+v, want %+v", short, want)
	}
	var long listing
	if err := json.Unmarshal([]byte(s.ask(0, "inspect", "--json")), &long); err != nil {
		t.Fatal(err)
	}
	if len(long.Holders) != 2 || len(long.Waiters) != 2 || long.Name != "demo" || long.Store != s.url() {
		t.Fatalf("inspect says %+v", long)
	}
	p := long.Holders[0]
	if p.Class != "rwmutex" || p.Shared || p.Host != host || p.PID != holder.cmd.Process.Pid || p.Reason != "nightly \x1b[31mexport" {
		t.Errorf("the holder is %+v", p)
	}
	if n, err := strconv.ParseUint(p.Token, 10, 64); err != nil || n == 0 {
		t.Errorf("its token is %q", p.Token)
	}
	if p.Since == nil || time.Since(*p.Since) > time.Hour || time.Since(*p.Since) < -time.Minute {
		t.Errorf("it holds since %v", p.Since)
	}
	if !long.Waiters[1].Shared || long.Waiters[1].PID != reader.cmd.Process.Pid {
		t.Errorf("the second waiter is %+v", long.Waiters[1])
	}

	// Who is refused learns by whom, and who waits how many come before.
	busy := s.sh("true", "-n")
	busy.exits(75, "")
	busy.complains("held by "+host, "process "+of(holder))
	verbose := s.sh("true", "-v")
	for deadline := time.Now().Add(patience); verbose.errors() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("dlock does not say whom it waits for")
		}
	}
	// It is a writer, and goes before the reader if not before the other writer.
	verbose.complains(`waiting for "demo": held by `+host, "process "+of(holder), "(nightly ?[31mexport)", " before us")
	for _, p := range []*program{holder, slot} {
		p.enter("")
		p.exits(0, "done\n")
	}
	for _, p := range []*program{writer, reader, verbose} {
		p.exits(0, "")
	}
	if got := s.ask(0, "status"); got != "demo: free\n" {
		t.Errorf("in the end: %q", got)
	}
}

// It can be asked about a lock in a store that does not exist yet, and does not
// make it.
func TestStatusLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.dir = filepath.Join(s.dir, "missing")
	if got := s.ask(0, "status", "--json"); !strings.Contains(got, `"free": true`) {
		t.Errorf("printed %q", got)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("status has made the store")
	}
}

func TestStatusOutOfReach(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"status", "inspect"} {
		p := start(t, verb, "--url", "file://"+path, "demo")
		p.exits(69, "")
		p.complains(path)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no full disk here: ", err)
	}
	defer full.Close()
	for _, args := range []string{"status demo", "status --json demo", "inspect demo", "help", "completion bash", "version"} {
		cmd := exec.Command(binary, strings.Fields(args)...)
		cmd.Env = append(os.Environ(), urlVariable+"="+s.url())
		cmd.Stdout = full
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != exitFailure {
			t.Errorf("%s: exit code %d", args, cmd.ProcessState.ExitCode())
		}
	}
}
