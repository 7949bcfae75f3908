// Package run has the contestants do the workloads, by turns.
package run

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/process"
	"github.com/dlock-go/dlock/bench/testbed"
	"github.com/dlock-go/dlock/bench/workload"
)

// A Run measures.
type Run struct {
	Testbed     *testbed.Testbed
	Contestants []*contestant.Contestant
	Quick       bool
	Seed        uint64
	Profile     string // the directory for profiles of the processes, or ""
	// Shown is called with what was measured of one size.
	Shown func(w *workload.Workload, size int, results Results)

	random *rand.Rand
}

// Do measures one workload in all its sizes, or until ctx ends.
func (r *Run) Do(ctx context.Context, w *workload.Workload) Results {
	if r.random == nil {
		r.random = rand.New(rand.NewPCG(r.Seed, 0))
	}
	effort := w.Full
	if r.Quick {
		effort = w.Quick
	}
	var all Results
	given := make(map[*contestant.Contestant]bool) // up
	for _, size := range effort.Sizes {
		s := &stage{run: r, testbed: r.Testbed, workload: w, effort: effort, size: size}
		for _, c := range r.Contestants {
			if !given[c] && w.Takes(c) {
				s.teams = append(s.teams, &team{contestant: c, result: &Result{Workload: w.Name, Size: size, Contestant: c.ID}})
			}
		}
		s.do(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var results Results
		for _, t := range s.teams {
			given[t.contestant] = t.result.Failure != "" || w.Overdone(t.result.Rounds, size)
			if len(t.result.Rounds) > 0 || t.result.Failure != workload.ErrNone.Error() {
				results = append(results, t.result)
			}
		}
		r.Shown(w, size, results)
		all = append(all, results...)
	}
	return all
}

// A stage is one workload in one size: its contestants take turns, in another
// order each round, so that what befalls the machine befalls all.
type stage struct {
	run      *Run
	testbed  *testbed.Testbed // as the processes see it
	workload *workload.Workload
	effort   workload.Effort
	size     int
	teams    []*team
}

// A team is the processes of one contestant.
type team struct {
	contestant *contestant.Contestant
	processes  []*process.Process
	result     *Result
}

func (s *stage) do(ctx context.Context) {
	if s.workload.RoundTrip != nil {
		route, err := s.testbed.Route(s.workload.RoundTrip(s.size))
		if err != nil {
			for _, t := range s.teams {
				t.result.Failure = err.Error()
			}
			return
		}
		defer route.Cut()
		s.testbed = route.Testbed
	}
	for round := range s.effort.Rounds {
		for _, i := range s.run.random.Perm(len(s.teams)) {
			t := s.teams[i]
			if t.result.Failure != "" {
				continue
			}
			f, err := s.round(ctx, t, round)
			if err != nil {
				t.result.Failure = err.Error()
			} else {
				t.result.Rounds = append(t.result.Rounds, f)
			}
			if err != nil || s.workload.Fresh {
				t.dismiss()
			}
		}
	}
	for _, t := range s.teams {
		t.dismiss()
	}
}

func (s *stage) round(ctx context.Context, t *team, round int) (workload.Figures, error) {
	processes := s.workload.Processes
	if !t.contestant.Store.Shared() {
		processes = 1
	}
	for len(t.processes) < processes {
		profile := ""
		if s.run.Profile != "" {
			profile = fmt.Sprintf("%s/%s-%d-%s", s.run.Profile, s.workload.Name, s.size, t.contestant.ID)
		}
		p, err := process.Start(ctx, t.contestant, s.testbed, profile)
		if err != nil {
			return nil, err
		}
		t.processes = append(t.processes, p)
	}
	j := workload.Job{
		Workload: s.workload.Name,
		Size:     s.size / processes,
		Whole:    s.size,
		Names:    fmt.Sprintf("%s-%s-%d", t.contestant.ID, s.workload.Name, s.size),
		Length:   s.effort.Length,
		Start:    testbed.Now().Add(50 * time.Millisecond),
	}
	if s.workload.Fresh {
		// Those before may have left locks behind.
		j.Names = fmt.Sprintf("%s-%d", j.Names, round)
	}
	if len(s.workload.Endings) > 0 {
		return s.ending(ctx, t, j)
	}
	for i, p := range t.processes {
		j.Process = i
		if err := p.Tell(j); err != nil {
			return nil, err
		}
	}
	samples := make([]*workload.Sample, len(t.processes))
	for i, p := range t.processes {
		var err error
		if samples[i], err = p.Await(s.effort.Length + patience); err != nil {
			return nil, err
		}
	}
	return s.workload.Join(samples, j)
}

// patience is for how long a process may be late. It is no measure of speed.
const patience = 40 * time.Second

func (t *team) dismiss() {
	for _, p := range t.processes {
		p.Close()
	}
	t.processes = nil
}
