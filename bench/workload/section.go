package workload

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/testbed"
)

// A Section is one critical section: when it was asked for, granted, and left.
type Section struct {
	Process int             `json:"p"`
	Reads   bool            `json:"r,omitempty"`
	Asked   testbed.Instant `json:"a"`
	Granted testbed.Instant `json:"g"`
	Left    testbed.Instant `json:"l"`
}

func (s Section) wait() time.Duration { return s.Granted.Sub(s.Asked) }

// stay is how long a section lasts.
const stay = time.Millisecond

// window is when sections count: after a quarter of the length for warming up.
func (j Job) window() (from, until testbed.Instant) {
	from = j.Start.Add(j.Length / 4)
	return from, from.Add(j.Length)
}

// A turn tells what a goroutine does next.
type turn func() (l contestant.Lock, reads bool)

// sections has goroutines go through critical sections until the time is over,
// each by turns of its own, and returns those that count.
func (j Job) sections(turns []turn) ([]Section, error) {
	var wg sync.WaitGroup
	done := make([][]Section, len(turns))
	failures := make([]error, len(turns))
	j.Start.Sleep()
	for i := range turns {
		wg.Go(func() { done[i], failures[i] = j.goThrough(turns[i]) })
	}
	wg.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(done...), nil
}

func (j Job) goThrough(next turn) (done []Section, err error) {
	from, until := j.window()
	for {
		l, reads := next()
		s := Section{Process: j.Process, Reads: reads, Asked: testbed.Now()}
		if s.Asked > until {
			return done, nil
		}
		if err := l.Lock(); err != nil {
			return nil, err
		}
		s.Granted = testbed.Now()
		time.Sleep(stay)
		s.Left = testbed.Now()
		if err := l.Unlock(); err != nil {
			return nil, err
		}
		if s.Granted >= from {
			done = append(done, s)
		}
	}
}

// gather puts the sections of all processes in the order of their grants. It is an
// error if more were in at once than a lock of this capacity lets in: a writer
// takes all of it, and everybody else 1.
func gather(samples []*Sample, capacity int, writers bool) ([]Section, error) {
	var all []Section
	for _, s := range samples {
		all = append(all, s.Sections...)
	}
	slices.SortFunc(all, func(a, b Section) int { return int(a.Granted - b.Granted) })

	type step struct {
		at     testbed.Instant
		weight int
	}
	var steps []step
	for _, s := range all {
		weight := 1
		if writers && !s.Reads {
			weight = capacity
		}
		steps = append(steps, step{s.Granted, weight}, step{s.Left, -weight})
	}
	slices.SortFunc(steps, func(a, b step) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.weight - b.weight
	})
	in := 0
	for _, s := range steps {
		if in += s.weight; in > capacity {
			return nil, fmt.Errorf("NO EXCLUSION: more were in the critical section than may be")
		}
	}
	return all, nil
}

// granted returns how many sections each process was granted within the window.
func granted(sections []Section, samples []*Sample, j Job) (total int, least, most int) {
	_, until := j.window()
	counts := make([]int, len(samples))
	for _, s := range sections {
		if s.Granted <= until {
			counts[s.Process]++
			total++
		}
	}
	return total, slices.Min(counts), slices.Max(counts)
}

// waits puts percentiles of the waits among the figures, under names that begin
// with prefix.
func waits(f Figures, prefix string, sections []Section) {
	if len(sections) == 0 {
		return
	}
	all := make([]time.Duration, len(sections))
	for i, s := range sections {
		all[i] = s.wait()
	}
	slices.Sort(all)
	f[prefix+"p50"] = stats.Percentile(all, 50).Seconds()
	f[prefix+"p99"] = stats.Percentile(all, 99).Seconds()
	f[prefix+"max"] = stats.Percentile(all, 100).Seconds()
}
