package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// An Invariant is what became of one of them.
type Invariant struct {
	Number     int
	Checked    int // how many times it could have been broken
	Excused    int // how many times it would have been, but for a fault or a stall
	Violations int
	Excuses    map[string]int // how often each was used
	Worst      time.Duration  // the longest of what is bounded, where something is
	Most       int            // likewise, of what is counted
	Examples   []string       // of violations
	Note       string
}

// Invariants in words, by number.
var Invariants = [...]string{
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
	13: "a try gets a lock that is free",
	14: "no call fails without a reason",
	15: "inside a process, first come, first served",
	16: "readers have their turn after some writers",
	17: "who waits is not passed by for ever",
}

const count = len(Invariants)

const maxExamples = 5

func (i *Invariant) violate(format string, args ...any) {
	i.Violations++
	if len(i.Examples) < maxExamples {
		i.Examples = append(i.Examples, fmt.Sprintf(format, args...))
	}
}

// excuse counts what would have been a violation, but for that.
func (i *Invariant) excuse(by string) {
	if i.Excuses == nil {
		i.Excuses = make(map[string]int)
	}
	i.Excuses[by]++
	i.Excused++
}

// judge counts what took so much longer than its bound, by an excuse or without one.
func (i *Invariant) judge(over int64, excuse string) {
	if excuse != "" && over <= 0 {
		i.excuse(excuse)
		return
	}
	i.Checked++
}

// Counted tells the most of what is counted, and the excuses that were used.
func (i *Invariant) Counted() string {
	var parts []string
	if i.Most > 0 {
		parts = append(parts, fmt.Sprintf("most %d", i.Most))
	}
	for _, by := range slices.Sorted(maps.Keys(i.Excuses)) {
		parts = append(parts, fmt.Sprintf("%d × %s", i.Excuses[by], by))
	}
	return strings.Join(parts, ", ")
}

func (i *Invariant) most(n int) { i.Most = max(i.Most, n) }

func (i *Invariant) took(d int64) { i.Worst = max(i.Worst, time.Duration(d)) }

// A Verdict is what a run has shown.
type Verdict struct {
	Invariants [count]Invariant // by number
	Void       []string         // why the run counts for nothing
	Grants     int
	Rate       float64 // grants a second before the first fault
	Timeouts   int
	Losses     int
	Sessions   int // opened
	Deaths     int // of sessions
	Kills      int
	Active     time.Duration // in which faults were on
	Plain      int64         // increments that the plain registers lost
	PlainAll   int64         // and took
	Refused    int64         // writes that the fenced registers refused
	Waits      Quantiles     // of hand-overs without faults
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
	h.readersMeet(&v.Invariants[4])
	h.order(&v.Invariants[6])
	h.handovers(&v.Invariants[6])
	h.wakeups(v)
	h.losses(&v.Invariants[8])
	h.leftovers(&v.Invariants[10])
	h.crowds(&v.Invariants[11])
	h.recovery(&v.Invariants[12])
	h.tries(&v.Invariants[13])
	h.failures(&v.Invariants[14])
	h.inside(&v.Invariants[15])
	h.readersTurn(&v.Invariants[16])
	h.fairness(&v.Invariants[17])
	h.effects(v)
	h.judged(v)
	return v
}

// judged says of which invariants there was nothing to judge. That is a note where the run
// was not about them, and else makes it void.
func (h *history) judged(v *Verdict) {
	for n, note := range h.undue() {
		i := &v.Invariants[n]
		// Who stood still was judged, too, by that much more.
		if n == 0 || i.Checked+i.Violations+i.Excuses[stood] > 0 || i.Note != "" {
			continue
		}
		if i.Note = note; note == "" {
			v.Void = append(v.Void, fmt.Sprintf("nothing was judged of %d, %s", n, Invariants[n]))
		}
	}
}

// undue returns of each invariant why the run was not about it, or "".
func (h *history) undue() (why [count]string) {
	unless := func(is bool, note string, numbers ...int) {
		for _, n := range numbers {
			if !is && why[n] == "" {
				why[n] = note
			}
		}
	}
	caps := h.Promise.Caps
	unless(h.Class == backend.Mutex, "no mutexes", 1)
	unless(h.Class == backend.RWMutex, "no readers and writers", 4, 16)
	unless(h.Class == backend.Semaphore, "no semaphores", 5)
	unless(h.Class != backend.Semaphore, "no increments", 2)
	unless(caps.Fencing, "the store claims none", 2, 3)
	unless(caps.Queue, h.Promise.Unordered, 6)
	unless(h.Promise.Passed > 0, "there is an order", 17)
	unless(caps.Processes, "the store ends with its process", 9)
	unless(len(h.kills) > 0, "nobody was killed", 9)
	unless(h.took(), "nothing was lost", 8)
	return why
}
