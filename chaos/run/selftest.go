package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/bug"
	"github.com/dlock-go/dlock/chaos/store"
)

// A Catch is what the harness has found of a bug.
type Catch struct {
	Bug     bug.Bug
	Runs    int // until it was caught, or in all
	Caught  []int
	Example string
	Seed    uint64
}

// Good reports whether the bug was caught, and by an invariant that is about it.
func (c *Catch) Good() bool {
	return slices.ContainsFunc(c.Caught, func(n int) bool { return slices.Contains(c.Bug.Expected, n) })
}

// Tries is how many runs the harness has to catch a bug.
const Tries = 10

// Selftest builds the worker with one bug after the other, and runs it until the
// bug is caught: runs like those of a report, of that duration and under all faults.
func Selftest(ctx context.Context, bugs []bug.Bug, duration time.Duration, next func() uint64, log io.Writer) ([]Catch, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/dlock-go/dlock").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the sources: %w", err)
	}
	root := strings.TrimSpace(string(out))
	var catches []Catch
	for _, b := range bugs {
		c, err := hunt(ctx, b, root, duration, next)
		if err != nil {
			return nil, err
		}
		catches = append(catches, *c)
		fmt.Fprintf(log, "%s, %s: %s\n  caught by %v in run %d: %s\n", b.Backend, b.Primitive, b.Name, c.Caught, c.Runs, c.Example)
		if !c.Good() {
			fmt.Fprintf(log, "  NOT CAUGHT by any of %v\n", b.Expected)
		}
	}
	return catches, nil
}

func hunt(ctx context.Context, b bug.Bug, root string, duration time.Duration, next func() uint64) (*Catch, error) {
	dir, err := os.MkdirTemp("", "dlock-bug-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	overlay, err := b.Overlay(root, dir)
	if err != nil {
		return nil, err
	}
	exe, err := Build(ctx, dir, overlay)
	if err != nil {
		return nil, fmt.Errorf("bug %q: %w", b.Name, err)
	}
	makers, err := store.Select(b.Backend)
	if err != nil {
		return nil, fmt.Errorf("bug %q: %w", b.Name, err)
	}
	c := &Catch{Bug: b}
	for c.Runs < Tries && !c.Good() {
		c.Runs++
		c.Seed = next()
		r, err := Do(ctx, Config{
			Store: makers[0], Class: Classes[b.Primitive], Seed: c.Seed, Duration: duration,
			Worker: exe, Patience: 8 * time.Second,
		})
		if err != nil {
			return nil, fmt.Errorf("bug %q: %w", b.Name, err)
		}
		c.Caught, c.Example = nil, ""
		for n := range r.Verdict.Invariants {
			if i := &r.Verdict.Invariants[n]; i.Violations > 0 {
				c.Caught = append(c.Caught, n)
				if slices.Contains(b.Expected, n) && c.Example == "" {
					c.Example = i.Examples[0]
				}
			}
		}
	}
	return c, nil
}
