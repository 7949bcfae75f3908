// Package report turns what was measured into tables, plots and a verdict.
package report

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/testbed"
	"github.com/dlock-go/dlock/bench/workload"
)

// A Report is all that a run has to tell.
type Report struct {
	Machine *Machine
	Quick   bool
	Seed    uint64
	Started time.Time
	Took    time.Duration
	Results run.Results
}

// Write writes report.md and its plots into dir.
func (r *Report) Write(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "report.md"), []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	for _, p := range Plots {
		if err := os.WriteFile(filepath.Join(dir, p.File), []byte(p.Draw(r.Results)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) markdown() string {
	var b strings.Builder
	kind := "full"
	if r.Quick {
		kind = "quick"
	}
	b.WriteString("# dlock beside what people use today\n\n")
	fmt.Fprintf(&b, "Written by `make bench` on %s after a %s run of %v on %s with %d cores, %s, %s, Redis %s, Postgres %s. "+
		"The load of the machine before it was %s. The contestants and how it was measured stand at the end.\n\n",
		r.Started.UTC().Format("2 January 2006, 15:04 UTC"), kind, r.Took.Round(time.Second), r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go,
		r.Machine.Redis, r.Machine.Postgres, r.Machine.Load)
	if !r.Machine.quiet() {
		b.WriteString("**The machine was busy with something else: these figures are not to be relied on.**\n\n")
	}
	fmt.Fprintf(&b, "## Targets\n\n%s\n", Targets(r.Results))
	if limits := Limits(r.Results); limits != "" {
		fmt.Fprintf(&b, "What stands in the way:\n\n%s\n", limits)
	}
	fmt.Fprintf(&b, "## Where a peer is better\n\nBy more than 10 %%, and than dlock as it is by default.\n\n%s\n", Better(workload.All, r.Results))
	for _, w := range workload.All {
		var sizes []int
		for _, m := range r.Results {
			if m.Workload == w.Name && !slices.Contains(sizes, m.Size) {
				sizes = append(sizes, m.Size)
			}
		}
		if sizes == nil {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", w.Title, w.About)
		if w.Name == "own" {
			for _, p := range Plots {
				fmt.Fprintf(&b, "![%s](%s)\n\n", p.Title, p.File)
			}
		}
		for _, size := range sizes {
			var of run.Results
			for _, m := range r.Results {
				if m.Workload == w.Name && m.Size == size {
					of = append(of, m)
				}
			}
			fmt.Fprintf(&b, "### %s\n\n%s\n", w.Sized(size), Table(w, of))
		}
	}
	b.WriteString(r.method())
	return b.String()
}

func (r *Report) method() string {
	var b strings.Builder
	b.WriteString("## How it was measured\n\n")
	fmt.Fprintf(&b, "Each contestant runs in processes of its own, which take turns round by round in a random order (seed %d), "+
		"so that what befalls the machine befalls all. The figures are medians of the rounds, ± is the farthest round from it, and × dlock is the median of the ratios, round by round, "+
		"of the first figure to that of dlock as it is by default on the same store, with the least and the greatest of them. Critical sections are checked for overlaps on the clock of the machine. "+
		"CPU is that of the client's process, and of the server's.\n\n", r.Seed)
	fmt.Fprintf(&b, "Redis runs with `%s`, Postgres with `%s`, both over TCP on the loopback interface. An fdatasync of 8 KiB took %s where they write.\n\n",
		strings.Join(testbed.RedisSettings, "`, `"), settings(), duration(r.Machine.Fsync.Seconds()))
	rows := [][]string{{"contestant", "store", "set up"}}
	for _, c := range contestant.All {
		rows = append(rows, []string{title(c), string(c.Store), c.Says})
	}
	b.WriteString(listing(rows))
	b.WriteString("\nVersions: ")
	var versions []string
	for _, path := range slices.Sorted(maps.Keys(r.Machine.Modules)) {
		if slices.Contains(peers, path) {
			versions = append(versions, path+" "+r.Machine.Modules[path])
		}
	}
	b.WriteString(strings.Join(versions, ", ") + ".\n")
	return b.String()
}

// peers are the modules whose versions matter.
var peers = []string{
	"github.com/bsm/redislock", "github.com/go-redsync/redsync/v4", "github.com/gofrs/flock",
	"github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9", "github.com/redis/rueidis",
}

func settings() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(testbed.PostgresSettings)) {
		all = append(all, k+" = "+testbed.PostgresSettings[k])
	}
	return strings.Join(all, "`, `")
}

// listing writes rows as a table of text.
func listing(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}
