package check

import (
	"fmt"
	"slices"
	"time"
)

// An Invariant is what became of one of the twelve.
type Invariant struct {
	Number     int
	Checked    int // how many times it could have been broken
	Excused    int // how many times a fault with a bound of its own was in the way
	Violations int
	Worst      time.Duration // the longest of what is bounded, where something is
	Examples   []string      // of violations
	Note       string
}

// Invariants in words, by number.
var Invariants = [13]string{
	1:  "mutual exclusion",
	2:  "the fenced register loses nothing",
	3:  "tokens are unique and grow",
	4:  "a writer excludes all, readers overlap",
	5:  "never more holders than the limit",
	6:  "first come, first served",
	7:  "no wake-up is lost",
	8:  "losses are signalled in time",
	9:  "a dead holder's lock is free in time",
	10: "nothing is left behind",
	11: "a crowd is one waiter at the store",
	12: "every name can be had after the faults",
}

const maxExamples = 5

func (i *Invariant) violate(format string, args ...any) {
	i.Violations++
	if len(i.Examples) < maxExamples {
		i.Examples = append(i.Examples, fmt.Sprintf(format, args...))
	}
}

func (i *Invariant) took(d int64) { i.Worst = max(i.Worst, time.Duration(d)) }

// A Verdict is what a run has shown.
type Verdict struct {
	Invariants [13]Invariant // by number
	Void       []string      // why the run counts for nothing
	Grants     int
	Rate       float64 // grants a second before the first fault
	Timeouts   int
	Losses     int
	Sessions   int // opened
	Deaths     int // of sessions
	Kills      int
	Plain      int64     // increments that the plain registers lost
	PlainAll   int64     // and took
	Refused    int64     // writes that the fenced registers refused
	Waits      Quantiles // of hand-overs without faults
}

// Quantiles of a set of durations.
type Quantiles struct {
	N             int
	P50, P99, Max time.Duration
}

func quantiles(d []int64) Quantiles {
	if len(d) == 0 {
		return Quantiles{}
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return time.Duration(d[int(q*float64(len(d)-1))]) }
	return Quantiles{len(d), at(0.5), at(0.99), at(1)}
}

// Violations counts those of all invariants.
func (v *Verdict) Violations() int {
	n := 0
	for i := range v.Invariants {
		n += v.Invariants[i].Violations
	}
	return n
}

// Check holds a run against its promise.
func Check(r *Run) *Verdict {
	h := newHistory(r)
	v := new(Verdict)
	for i := range v.Invariants {
		v.Invariants[i].Number = i
	}
	h.count(v)
	h.exclusion(v)
	h.registers(&v.Invariants[2], v)
	h.tokens(&v.Invariants[3])
	h.writersWait(&v.Invariants[4])
	h.order(&v.Invariants[6])
	h.handovers(&v.Invariants[6])
	h.wakeups(v)
	h.losses(&v.Invariants[8])
	h.leftovers(&v.Invariants[10])
	h.crowds(&v.Invariants[11])
	h.recovery(&v.Invariants[12])
	h.effects(v)
	for n, note := range map[int]string{
		1: "no mutexes", 2: "no increments", 4: "no readers and writers", 5: "no semaphores",
		6: "nobody was seen to wait", 8: "nothing was lost", 9: "nobody died whose lock others wanted",
	} {
		if i := &v.Invariants[n]; i.Checked+i.Excused+i.Violations == 0 && i.Note == "" {
			i.Note = note
		}
	}
	return v
}
