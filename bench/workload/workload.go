// Package workload has what the contestants are made to do, one file each. A
// workload has two ends: one works in the processes that take part, and the other
// makes figures of what these bring back.
package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/testbed"
)

// A Workload is one kind of work, in several sizes.
type Workload struct {
	Name  string
	Title string
	About string // for the report
	Unit  string // of its size: what there are so many of

	Full, Quick Effort
	// Processes is how many processes share the work, where the store lets several.
	Processes int
	// Fresh has each round done by new processes.
	Fresh bool
	// RoundTrip is how much longer the way to the store is made, or nil.
	RoundTrip func(size int) time.Duration
	// Endings are what befalls the processes that hold locks, one each.
	Endings []Ending
	// Columns are its figures, the one that is compared first.
	Columns []Column

	work func(*Process, Job) (*Sample, error)
	join func([]*Sample, Job) (Figures, error) // nil when a lone sample has the figures
}

// An Effort is how much is measured.
type Effort struct {
	Sizes  []int
	Rounds int
	Length time.Duration // of one measurement
}

// All lists the workloads.
var All = []*Workload{own, distance, apart, hot, handOff, ending, try, once, readWrite, semaphore, holding, waiting}

// Takes reports whether a contestant takes part.
func (w *Workload) Takes(c *contestant.Contestant) bool {
	return len(c.Only) == 0 || slices.Contains(c.Only, w.Name)
}

// Sized names a size, as "64 goroutines".
func (w *Workload) Sized(size int) string {
	if size == 1 {
		return "1 " + strings.TrimSuffix(w.Unit, "s")
	}
	return fmt.Sprint(size, " ", w.Unit)
}

// Overdone reports whether a size was too much for a contestant, so that a greater
// one is not tried.
func (w *Workload) Overdone(rounds []Figures, size int) bool {
	for _, f := range rounds {
		if served, ok := f["served"]; ok && served < float64(size) {
			return true
		}
	}
	return false
}

// ErrNone tells that a contestant has no lock of the kind.
var ErrNone = errors.New("has none")

// Find returns the workload of a name.
func Find(name string) (*Workload, error) {
	for _, w := range All {
		if w.Name == name {
			return w, nil
		}
	}
	return nil, fmt.Errorf("there is no workload %q", name)
}

// A Column is one figure of a workload.
type Column struct {
	Key    string
	Title  string
	Unit   Unit
	Better Sense
}

// Sense is which figures are better ones.
type Sense uint8

// The senses. A figure that is neither explains others.
const (
	Higher Sense = iota + 1
	Lower
	Neither
)

// Unit is the unit of a figure.
type Unit uint8

// The units.
const (
	Number Unit = iota + 1
	Seconds
	Bytes
	Share // of 1
)

// Figures are the results of one round by their keys. What there is no figure
// for is missing.
type Figures map[string]float64

// connections notes how many connections this process has.
func (f Figures) connections() {
	if n := testbed.Connections(); n > 0 {
		f["connections"] = float64(n)
	}
}

// A Job tells a process what to do in one round.
type Job struct {
	Workload string
	Size     int    // of the part of this process
	Whole    int    // of all processes
	Process  int    // which one it is
	Names    string // the beginning of the names of locks
	Length   time.Duration
	Start    testbed.Instant
}

// A Sample is what a process brings back.
type Sample struct {
	Figures  Figures   `json:",omitempty"`
	Sections []Section `json:",omitempty"`
	// Failure tells why there is nothing.
	Failure string `json:",omitempty"`
}

// A Process is one process that takes part.
type Process struct {
	Testbed    *testbed.Testbed
	Contestant *contestant.Contestant
	Locks      contestant.Locks

	held []contestant.Lock // until the process ends
}

// Work does a job.
func (p *Process) Work(j Job) *Sample {
	w, err := Find(j.Workload)
	if err != nil {
		return &Sample{Failure: err.Error()}
	}
	s, err := w.work(p, j)
	if err != nil {
		return &Sample{Failure: err.Error()}
	}
	return s
}

// Join makes the figures of a round of what all its processes bring back.
func (w *Workload) Join(samples []*Sample, j Job) (Figures, error) {
	for _, s := range samples {
		if s.Failure != "" {
			return nil, fmt.Errorf("%s", s.Failure)
		}
	}
	if w.join == nil {
		return samples[0].Figures, nil
	}
	return w.join(samples, j)
}

// serverCPU returns the processor time that the server of the process's store has
// used, or 0 when it has none.
func (p *Process) serverCPU() time.Duration {
	switch p.Contestant.Store {
	case contestant.Redis:
		return testbed.CPU(p.Testbed.RedisPID)
	case contestant.Quorum:
		var all time.Duration
		for _, pid := range p.Testbed.QuorumPIDs {
			all += testbed.CPU(pid)
		}
		return all
	case contestant.Postgres:
		return testbed.CPU(p.Testbed.PostgresPID)
	}
	return 0
}

// meter returns a meter of the server of the process's store, or nil when it has
// none.
func (p *Process) meter(ctx context.Context) (*testbed.Meter, error) {
	switch p.Contestant.Store {
	case contestant.Redis:
		return testbed.RedisMeter(ctx, p.Testbed.RedisAddr)
	case contestant.Quorum:
		return testbed.RedisMeter(ctx, p.Testbed.QuorumAddrs...)
	case contestant.Postgres:
		return p.Testbed.PostgresMeter(ctx)
	}
	return nil, nil
}
