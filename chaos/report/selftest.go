package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/run"
)

// Selftest writes selftest.md into dir: which bugs that were put in on purpose were
// caught, and by which invariant.
func Selftest(dir string, catches []run.Catch, duration time.Duration) error {
	var b bytes.Buffer
	p := &printer{&b}
	caught := 0
	for i := range catches {
		if catches[i].Good() {
			caught++
		}
	}
	p.line("# What chaos finds")
	p.line("")
	p.line("%d bugs were put into the sources of dlock, one at a time and at build time only, and **%d of them were caught**, by an invariant that is about them, within %d runs of %v each, under all faults.", len(catches), caught, run.Tries, duration)
	p.line("")
	p.line("%s. Written by `make chaos-selftest`; the bugs are in [bug/bugs](bug/bugs).", machine())
	p.line("")
	p.line("| bug | backend | primitive | caught by | in run |")
	p.line("|---|---|---|---|---|")
	for _, c := range catches {
		by := strings.Trim(fmt.Sprint(c.Caught), "[]")
		if !c.Good() {
			by = "**not caught**"
		}
		p.line("| %s | %s | %s | %s | %d |", c.Bug.Name, c.Bug.Backend, c.Bug.Primitive, by, c.Runs)
	}
	p.line("")
	p.line("The numbers are those of the invariants in [report.md](report.md). For example:")
	p.line("")
	for _, c := range catches {
		if c.Example != "" {
			p.line("- %s: %s", c.Bug.Name, c.Example)
		}
	}
	return os.WriteFile(filepath.Join(dir, "selftest.md"), b.Bytes(), 0o644)
}
