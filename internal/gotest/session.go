package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// An event is a line of go test -json; see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// A session is one run of go test.
type session struct {
	out      io.Writer
	packages map[string]*pkg // those that have not ended
	over     []*test         // of those that have
	failed   []*pkg
	broken   bool // something failed, or was shown, that is about no test
}

// A pkg is a package that is tested.
type pkg struct {
	name   string
	tests  map[string]*test
	order  []*test  // in which they began
	output []string // of no test
}

func newSession(out io.Writer) *session {
	return &session{out: out, packages: make(map[string]*pkg)}
}

func (s *session) show(text string) { io.WriteString(s.out, text) }

// note takes note of an event.
func (s *session) note(e event) {
	if e.Package == "" { // it is about building one
		s.broken = s.broken || e.Action == "build-fail"
		s.show(e.Output)
		return
	}
	p := s.packages[e.Package]
	if p == nil {
		p = &pkg{name: e.Package, tests: make(map[string]*test)}
		s.packages[e.Package] = p
	}
	if e.Test != "" {
		p.test(e.Test).note(e)
		return
	}
	switch e.Action {
	case "output":
		p.output = append(p.output, e.Output)
	case "pass", "skip", "fail":
		s.close(p, e.Action == "fail")
	}
}

// close shows what there is to say about a package. Of one that passed that is its
// closing line.
func (s *session) close(p *pkg, failed bool) {
	delete(s.packages, p.name)
	s.over = append(s.over, p.order...)
	if !failed {
		if n := len(p.output); n > 0 {
			s.show(p.output[n-1])
		}
		return
	}
	s.failed = append(s.failed, p)
	for _, t := range p.order {
		if t.telling() {
			s.show(t.text())
		}
	}
	s.show(strings.Join(p.output, ""))
}

// end shows what has not ended, and names the n slowest tests.
func (s *session) end(n int) {
	for _, p := range s.packages {
		s.close(p, true)
		s.broken = true
		s.show(fmt.Sprintf("FAIL\t%s\t[not ended]\n", p.name))
	}
	all := slices.SortedStableFunc(slices.Values(s.over), func(a, b *test) int { return int(b.own() - a.own()) })
	if len(all) == 0 {
		return
	}
	s.show("\nThe slowest tests:\n")
	for _, t := range all[:min(n, len(all))] {
		s.show(fmt.Sprintf("%7.2fs  %s %s\n", t.own().Seconds(), t.pkg.name, t.name))
	}
}

// test returns the test of a name.
func (p *pkg) test(name string) *test {
	t := p.tests[name]
	if t == nil {
		t = &test{pkg: p, name: name}
		p.tests[name] = t
		p.order = append(p.order, t)
	}
	return t
}

// above returns the test that a test is part of, or nil. A name may have slashes of its own.
func (p *pkg) above(t *test) *test {
	for name := t.name; ; {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil
		}
		name = name[:i]
		if parent := p.tests[name]; parent != nil {
			return parent
		}
	}
}

// A test is a test, or a part of one.
type test struct {
	pkg    *pkg
	name   string
	output []string
	ended  string // the action, or ""
	passed int    // how often
	took   time.Duration
	parts  time.Duration // of took, what its parts took
	beside bool          // it ran in parallel: its time is no part of another's
}

func (t *test) note(e event) {
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pause":
		t.beside = true
	case "pass", "fail", "skip":
		if e.Action == "pass" {
			t.passed++
		}
		t.ended, t.took = e.Action, time.Duration(e.Elapsed*float64(time.Second))
		if parent := t.pkg.above(t); parent != nil && !t.beside {
			parent.parts += t.took
		}
	}
}

// own returns the time that a test took beside that of its parts.
func (t *test) own() time.Duration { return t.took - t.parts }

// telling reports whether the output of a test is to be shown when its package has
// failed. That of a test which passed may be about another: a data race or a panic
// tells its story where the last test has spoken.
func (t *test) telling() bool {
	if t.ended != "pass" && t.ended != "skip" {
		return true
	}
	return slices.ContainsFunc(t.output, func(line string) bool { return !framed(line) && !logged(line) })
}

// text returns the output of a test.
func (t *test) text() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(t.output), framed), "")
}

// framed reports whether a line says when a test runs.
func framed(line string) bool {
	return strings.HasPrefix(line, "=== ")
}

// logged reports whether a line is what a test has logged, or its result.
func logged(line string) bool {
	return strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "--- ")
}
