// Command chaos hunts for violations of what dlock promises: it starts real
// servers and real processes, has faults happen to them, and checks what they
// wrote down. See the Makefile above for how it is called.
//
// # A run
//
// Worker processes want the same few names through the public API. Each writes down what
// it calls and what came of it, and what its driver was asked and answered, on the clock
// that all processes of a machine share. After a calm begin faults come: to a worker, to
// its way to the store, to one lock, or to the store. At the end the workers begin nothing
// new, a fresh process takes every name while their clients still live, and then all end.
//
// # The judge
//
// Package check knows of each invariant how often it could have been broken. A fault
// excuses what it can have caused, and nothing else: one that happened to a worker what
// that worker has to do with, one that happened to a lock what is done with that lock, and
// one of the store everything, each from its begin to its end and, for waits, for the time
// that was named for getting over it. A lock that is free while somebody waits is judged
// from the end of the fault on.
//
// Bounds are those of the README. A machine may stall, so each process has a heartbeat
// that sees when it does not run, when its journal is slow to write, and for how long its
// threads wait for a processor, by the system's own count; the controller does so for the
// servers and for itself. What was seen of those who have to do with the lock at that time
// is added to a bound, and what cannot be seen, 10 ms. Every excuse is counted, by what it
// was, in the report.
//
// A run is void, and counts for nothing, if it made no progress, if no fault had an effect,
// or if an invariant that it was about was not judged once. An effect is what would not have
// been seen without the fault, on its worker, its lock, or its store.
//
// # The selftest
//
// Package bug makes dlock wrong on purpose, one bug at a time and in a copy of the sources
// that only the compiler sees. There is one for each primitive of each store. Each has to
// be caught by an invariant that is about it, in runs like those of a report.
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
	all := run.Config{Seed: *seed, Duration: *duration, Worker: worker, Shape: shape, Faults: *faults, Keep: *keep}
	results, err := runAll(ctx, all, makers, *primitives, *backends == "")
	if err != nil {
		return err
	}
	if *out != "" {
		if err := report.Write(*out, results); err != nil {
			return err
		}
	}
	return verdict(results)
}

// runAll carries out a run for each primitive on each store. With missing a store whose
// servers are not there is passed over.
func runAll(ctx context.Context, all run.Config, makers []store.Maker, primitives string, missing bool) (results []*run.Result, err error) {
	next := run.Seeds(rand.Uint64())
	for _, m := range makers {
		for _, p := range []string{"mutex", "rw", "semaphore"} {
			if primitives != "" && !strings.Contains(","+primitives+",", ","+p+",") {
				continue
			}
			c := all
			c.Store, c.Class = m, run.Classes[p]
			if c.Seed == 0 {
				c.Seed = next()
			}
			r, err := run.Do(ctx, c)
			if store.Missing(err) && missing {
				fmt.Println(err)
				continue
			}
			if err != nil {
				return nil, err
			}
			r.Print(os.Stdout)
			results = append(results, r)
		}
	}
	return results, nil
}

// verdict returns an error if promises were broken, or runs could not show that.
func verdict(results []*run.Result) error {
	violations, void := 0, 0
	for _, r := range results {
		violations += r.Verdict.Violations()
		if len(r.Verdict.Void) > 0 {
			void++
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
		if err := report.Selftest(out, catches, duration); err != nil {
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
