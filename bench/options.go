package main

import (
	"flag"
	"strings"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/workload"
)

// options are what the command line says.
type options struct {
	quick       bool
	contestants []*contestant.Contestant
	workloads   []*workload.Workload
	seed        uint64
	profile     string
	save, load  string
	out         string
}

func flags() *options {
	o := new(options)
	flag.BoolVar(&o.quick, "quick", false, "measure less, in about two minutes")
	flag.Func("contestants", "only these, by their IDs, with commas between", func(list string) error {
		for id := range strings.SplitSeq(list, ",") {
			c, err := contestant.Find(id)
			if err != nil {
				return err
			}
			o.contestants = append(o.contestants, c)
		}
		return nil
	})
	flag.Func("workloads", "only these, by their names, with commas between", func(list string) error {
		for name := range strings.SplitSeq(list, ",") {
			w, err := workload.Find(name)
			if err != nil {
				return err
			}
			o.workloads = append(o.workloads, w)
		}
		return nil
	})
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the order in which the contestants take turns")
	flag.StringVar(&o.profile, "profile", "", "a directory for profiles of the CPU of all processes that take part")
	flag.StringVar(&o.save, "save", "", "a file for all that was measured, round by round, as JSON")
	flag.StringVar(&o.load, "load", "", "make the report of such a file in place of measuring")
	flag.StringVar(&o.out, "out", ".", "the directory for report.md and its plots")
	flag.Parse()
	if o.contestants == nil {
		o.contestants = contestant.All
	}
	if o.workloads == nil {
		o.workloads = workload.All
	}
	return o
}
