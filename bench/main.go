// Command bench measures dlock beside what people use today, in one run on one
// machine, and writes what it found to report.md and its plots. It needs Linux,
// redis-server and Postgres.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dlock-go/dlock/bench/process"
	"github.com/dlock-go/dlock/bench/report"
	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/testbed"
	"github.com/dlock-go/dlock/bench/workload"
)

func main() {
	if err := act(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func act() error {
	if process.Ordered() {
		return process.Serve()
	}
	o := flags()
	r, err := o.report()
	if err != nil {
		return err
	}
	fmt.Println("Targets\n\n" + report.Targets(r.Results))
	if o.save != "" {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.save, text, 0o644); err != nil {
			return err
		}
	}
	return r.Write(o.out)
}

// report measures, or reads what was measured before.
func (o *options) report() (*report.Report, error) {
	r := &report.Report{Quick: o.quick, Seed: o.seed, Started: time.Now()}
	if o.load != "" {
		text, err := os.ReadFile(o.load)
		if err != nil {
			return nil, err
		}
		return r, json.Unmarshal(text, r)
	}
	w, stop, err := testbed.Start()
	if err != nil {
		return nil, err
	}
	defer stop()
	ctx, ignore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer ignore()
	if r.Machine, err = report.Look(w); err != nil {
		return nil, err
	}
	measuring := &run.Run{
		Testbed: w, Contestants: o.contestants, Quick: o.quick, Seed: o.seed, Profile: o.profile,
		Shown: func(w *workload.Workload, size int, results run.Results) {
			fmt.Printf("%s: %s\n\n%s\n", w.Title, w.Sized(size), report.Table(w, results))
		},
	}
	for _, w := range o.workloads {
		r.Results = append(r.Results, measuring.Do(ctx, w)...)
	}
	r.Took = time.Since(r.Started)
	return r, ctx.Err()
}
