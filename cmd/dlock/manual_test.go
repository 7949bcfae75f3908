package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the tables of the README anew")

const readme = "../../README.md"

func TestReadmeAgreesWithManual(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	run, _ := find("run")
	want := string(text)
	for _, table := range []string{run.optionTable(), statusTable()} {
		head, _, _ := strings.Cut(table, "\n")
		old := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(head) + `\n(\|.*\n)+`)
		if !old.MatchString(want) {
			t.Fatalf("the README has no table %q", head)
		}
		want = old.ReplaceAllLiteralString(want, table)
	}
	if want == string(text) {
		return
	}
	if !*rewrite {
		t.Fatal("the tables of the README are not those of the manual: go test ./cmd/dlock -run Readme -rewrite")
	}
	if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the code can do and what the manual says are the same.
func TestManualIsComplete(t *testing.T) {
	codes := []int{exitFailure, exitUsage, exitUnavailable, exitBusy, exitLost, exitNotExecutable, exitNotFound}
	for _, code := range codes {
		if !slices.ContainsFunc(statuses, func(s status) bool { return s.code == strconv.Itoa(code) }) {
			t.Errorf("exit code %d is not in the manual", code)
		}
	}
	if len(statuses) != len(codes)+2 {
		t.Errorf("the manual has %d exit codes", len(statuses))
	}
	all := overviewText() + manPage()
	for _, c := range subcommands {
		if !strings.Contains(overviewText(), "\n  "+c.name+" ") {
			t.Errorf("the overview does not have %s", c.name)
		}
		all += c.helpText()
		seen := make(map[string]bool)
		for _, o := range c.options {
			forms := []string{"--" + o.long}
			for _, letter := range o.letters() {
				forms = append(forms, "-"+letter)
			}
			for _, f := range forms {
				if seen[f] || c.option(f) == nil {
					t.Errorf("%s: flag %s is there twice or not at all", c.name, f)
				}
				seen[f] = true
			}
			if !strings.HasSuffix(o.text, ".") || o.set == nil {
				t.Errorf("%s --%s: no sentence, or nothing to set", c.name, o.long)
			}
			if !strings.Contains(c.helpText(), o.flags()) || !strings.Contains(manPage(), roff(o.flags())) {
				t.Errorf("%s --%s is not in the help or the man page", c.name, o.long)
			}
			for shell, script := range shells {
				if !strings.Contains(script(), o.long) {
					t.Errorf("%s --%s is not in the completion for %s", c.name, o.long, shell)
				}
			}
		}
		for _, e := range c.examples {
			if err := c.accepts(e.line); err != nil {
				t.Errorf("example %q: %v", e.line, err)
			}
		}
	}
	for _, line := range strings.Split(all, "\n") {
		if !strings.Contains(line, "\\") && len([]rune(line)) > width && strings.HasPrefix(line, "  ") {
			t.Errorf("longer than %d columns: %q", width, line)
		}
	}
}

// accepts reports why an example is none: its flags must parse.
func (c *subcommand) accepts(line string) error {
	if c.name != "run" {
		return nil
	}
	line = strings.ReplaceAll(line, "'nightly export'", "nightly")
	_, err := c.parseJob(strings.Fields(line)[2:])
	return err
}

func TestManPage(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff here")
	}
	cmd := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z")
	cmd.Stdin = strings.NewReader(manPage())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

// Each shell is asked what it would offer.
func TestCompletion(t *testing.T) {
	const bash = `
set -u
source /dev/stdin
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dlock; echo "${COMPREPLY[@]-}"; }
ask dlock r; ask dlock run --on-; ask dlock run --on-lost k; ask dlock run --on-lost = ig
ask dlock run -w 1s demo -- tru; ask dlock status --j; ask dlock completion z; ask dlock help ma`
	const zsh = `
autoload -Uz compinit && compinit -D -u
source /dev/stdin
print -r -- "${_comps[dlock]}"
# What is asked for is what the completion of a command on its own would be asked for.
_normal() { print -r -- "normal:$CURRENT:${(j:,:)words}" }
_arguments() { print -r -- "arguments:$CURRENT:${(j:,:)words}"; return 1 }
ask() { words=("$@"); CURRENT=$#; _dlock }
ask dlock run demo -- env; ask dlock run -w 1s demo -- env FOO=1 ca; ask dlock run -- ; ask dlock run demo; ask dlock status -- x; true`
	const fish = `
source
complete -C 'dlock r' | cut -f1
complete -C 'dlock run --on-' | cut -f1
complete -C 'dlock run --on-lost k' | cut -f1
complete -C 'dlock status --j' | cut -f1
complete -C 'dlock completion z' | cut -f1
complete -C 'dlock run -w 1s demo -- tru' | cut -f1
complete -c known -l own-flag
complete -C 'dlock run demo -- known --o' | cut -f1`
	for _, c := range []struct {
		shell string
		args  []string
		want  []string
	}{
		{"bash", []string{"--norc", "-c", bash}, []string{"run", "--on-lost", "kill", "ignore", "true", "--json", "zsh", "man"}},
		{"zsh", []string{"-f", "-c", zsh}, []string{
			"_dlock", "normal:1:env", "normal:3:env,FOO=1,ca", "arguments:3:dlock,run,demo", "arguments:4:dlock,status,--,x",
		}},
		{"fish", []string{"--no-config", "-c", fish}, []string{"run", "--on-lost", "kill", "--json", "zsh", "true", "--own-flag"}},
	} {
		t.Run(c.shell, func(t *testing.T) {
			path, err := exec.LookPath(c.shell)
			if err != nil {
				t.Skip("not installed")
			}
			cmd := exec.Command(path, c.args...)
			cmd.Stdin = strings.NewReader(shells[c.shell]())
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
			out, err := cmd.Output()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				t.Fatalf("%v\n%s", err, exit.Stderr)
			}
			// bash offers all commands that begin with tru.
			got := strings.Fields(string(out))
			for _, want := range c.want {
				if !slices.Contains(got, want) {
					t.Errorf("offers %q, want %q among them", got, want)
				}
			}
		})
	}
}
