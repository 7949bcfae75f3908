package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	// few is how many failed tests can be an accident.
	few = 4
	// repeats is how often each of them has to pass.
	repeats = 3
)

// grave is what output has that no other run excuses.
var grave = []string{"DATA RACE", "panic: ", "fatal error: "}

// again returns the tests that failed, if it is fair to ask them again: without those
// that failed for their parts.
func (s *session) again() []*test {
	var again []*test
	for _, p := range s.failed {
		failed := p.failures()
		if len(failed) == 0 || p.grave() {
			return nil
		}
		again = append(again, failed...)
	}
	if s.broken || len(again) > few {
		return nil
	}
	return again
}

// failures returns the tests of a package that failed, without those that failed for
// their parts.
func (p *pkg) failures() []*test {
	whole := make(map[*test]bool)
	for _, t := range p.order {
		if t.ended == "fail" {
			whole[p.above(t)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(p.order), func(t *test) bool { return t.ended != "fail" || whole[t] })
}

func (p *pkg) grave() bool {
	isGrave := func(line string) bool {
		return slices.ContainsFunc(grave, func(text string) bool { return strings.Contains(line, text) })
	}
	return slices.ContainsFunc(p.output, isGrave) ||
		slices.ContainsFunc(p.order, func(t *test) bool { return t.ended == "" || slices.ContainsFunc(t.output, isGrave) })
}

// passes returns how often a test of another session has passed in this one.
func (s *session) passes(t *test) int {
	for _, other := range s.over {
		if other.pkg.name == t.pkg.name && other.name == t.name {
			return other.passed
		}
	}
	return 0
}

// alone returns the arguments by which go test runs one test instead of those of args.
func (t *test) alone(args []string) []string {
	var parts []string
	for part := range strings.SplitSeq(t.name, "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	alone := slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "./") })
	return append(alone, "-count", fmt.Sprint(repeats), "-parallel", "1", "-run", strings.Join(parts, "/"), t.pkg.name)
}
