// Command chaos hunts for violations of what dlock promises: it starts real
// servers and real processes, has faults happen to them, and checks what they
// wrote down. See the Makefile above for how it is called.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/bug"
	"github.com/dlock-go/dlock/chaos/report"
	"github.com/dlock-go/dlock/chaos/run"
	"github.com/dlock-go/dlock/chaos/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context) error {
	var (
		backends   = flag.String("backend", "", "the backends, with commas between; all if empty")
		primitives = flag.String("primitive", "", "the primitives: mutex, rw, semaphore; all if empty")
		seed       = flag.Uint64("seed", 0, "repeat the run of this seed; 0 is a new one")
		duration   = flag.Duration("duration", 32*time.Second, "of each run")
		faults     = flag.String("faults", "", "words of the names of the faults, with commas between; all if empty")
		overlay    = flag.String("overlay", "", "a file for -overlay of go build: workers with other sources")
		out        = flag.String("out", "", "a directory to write report.md and timeline.html into")
		keep       = flag.String("keep", "", "a directory to leave journals and logs in")
	)
	shape := run.Usual
	flag.IntVar(&shape.Processes, "processes", shape.Processes, "how many worker processes; for a store inside one process, clients")
	flag.IntVar(&shape.Goroutines, "goroutines", shape.Goroutines, "of each process")
	flag.IntVar(&shape.Names, "names", shape.Names, "how many locks they use")
	selftest := flag.Bool("selftest", false, "see whether bugs are found that are put in on purpose; -backend and -bug select")
	bugs := flag.String("bug", "", "words of the names of bugs")
	flag.Parse()
	if *selftest {
		return hunt(ctx, *backends, *bugs, *duration, *out)
	}
	if err := shape.Check(); err != nil {
		return err
	}
	makers, err := store.Select(*backends)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dlock-chaos-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	worker, err := run.Build(ctx, dir, *overlay)
	if err != nil {
		return err
	}
	next := run.Seeds(rand.Uint64())
	violations, void := 0, 0
	var results []*run.Result
	for _, m := range makers {
		for _, p := range []string{"mutex", "rw", "semaphore"} {
			if *primitives != "" && !strings.Contains(","+*primitives+",", ","+p+",") {
				continue
			}
			c := run.Config{Store: m, Class: run.Classes[p], Seed: *seed, Duration: *duration, Worker: worker, Shape: shape, Faults: *faults, Keep: *keep}
			if c.Seed == 0 {
				c.Seed = next()
			}
			r, err := run.Do(ctx, c)
			if store.Missing(err) && *backends == "" {
				fmt.Println(err)
				continue
			}
			if err != nil {
				return err
			}
			r.Print(os.Stdout)
			violations += r.Verdict.Violations()
			if len(r.Verdict.Void) > 0 {
				void++
			}
			results = append(results, r)
		}
	}
	if *out != "" {
		if err := report.Write(*out, results); err != nil {
			return err
		}
	}
	if violations > 0 {
		return fmt.Errorf("%d violations", violations)
	}
	if void > 0 {
		return fmt.Errorf("void runs: %d", void)
	}
	return nil
}

// hunt is the selftest.
func hunt(ctx context.Context, backends, words string, duration time.Duration, out string) error {
	all, err := bug.Load()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(b bug.Bug) bool {
		return backends != "" && !slices.Contains(strings.Split(backends, ","), b.Backend) || !strings.Contains(b.Name, words)
	})
	catches, err := run.Selftest(ctx, all, duration, run.Seeds(rand.Uint64()), os.Stdout)
	if err != nil {
		return err
	}
	if out != "" {
		if err := report.Selftest(out, catches); err != nil {
			return err
		}
	}
	for i := range catches {
		if !catches[i].Good() {
			return fmt.Errorf("not every bug was caught")
		}
	}
	fmt.Printf("all %d bugs were caught\n", len(catches))
	return nil
}
