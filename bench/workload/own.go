package workload

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

var own = &Workload{
	Name:  "own",
	Title: "Goroutines on names of their own",
	About: "Each goroutine of one process takes and gives back a mutex that nobody else wants. " +
		"A pair is a lock and an unlock; the times are those of pairs.",
	Unit:      "goroutines",
	Full:      Effort{Sizes: []int{1, 2, 4, 8, 16, 64, 256, 4096}, Rounds: 5, Length: 225 * time.Millisecond},
	Quick:     Effort{Sizes: []int{1, 64, 256}, Rounds: 2, Length: 100 * time.Millisecond},
	Processes: 1,
	Columns: []Column{
		{"pairs", "pairs/s", Number, Higher},
		{"p50", "p50", Seconds, Lower},
		{"p99", "p99", Seconds, Lower},
		{"connections", "connections", Number, Neither},
		{"client", "client CPU a pair", Seconds, Neither},
		{"server", "server CPU a pair", Seconds, Neither},
		{"allocs", "allocations a pair", Number, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		locks := p.own(j)
		f, err := p.measure(locks, j.Length)
		if err != nil {
			return nil, err
		}
		return &Sample{Figures: f}, fence(locks[0], f)
	},
}

// own returns a mutex of its own for each goroutine of a process.
func (p *Process) own(j Job) []contestant.Lock {
	locks := make([]contestant.Lock, j.Size)
	for i := range locks {
		locks[i] = p.Locks.Mutex(fmt.Sprintf("%s-%d-%d", j.Names, j.Process, i))
	}
	return locks
}

// fence notes whether the grants of a lock have tokens that grow, and what the
// way to them allocates.
func fence(l contestant.Lock, f Figures) error {
	fenced, ok := l.(contestant.Fenced)
	if !ok {
		return nil
	}
	const times = 100
	var last uint64
	f["tokens"] = 1
	before := mallocs()
	for range times {
		token, err := fenced.Token()
		if err != nil {
			return err
		}
		if token <= last {
			f["tokens"] = 0
		}
		last = token
	}
	f["acquire"] = float64(mallocs()-before) / times
	return nil
}
