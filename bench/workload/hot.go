package workload

import (
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

var hot = &Workload{
	Name:  "hot",
	Title: "Goroutines of one process on one name",
	About: "The goroutines of one process want the same mutex, and nobody elsewhere does. " +
		"The times are those of pairs, the wait among them; the share is that of the goroutine with the fewest pairs to that of the one with the most.",
	Unit:      "goroutines",
	Full:      Effort{Sizes: []int{64}, Rounds: 5, Length: 500 * time.Millisecond},
	Quick:     Effort{Sizes: []int{64}, Rounds: 2, Length: 150 * time.Millisecond},
	Processes: 1,
	Columns: []Column{
		{"pairs", "pairs/s", Number, Higher},
		{"p50", "p50", Seconds, Lower},
		{"p99", "p99", Seconds, Lower},
		{"max", "longest", Seconds, Lower},
		{"share", "least/most", Share, Higher},
		{"connections", "connections", Number, Neither},
		{"client", "client CPU a pair", Seconds, Neither},
		{"server", "server CPU a pair", Seconds, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		locks := make([]contestant.Lock, j.Size)
		for i := range locks {
			locks[i] = p.Locks.Mutex(j.Names)
		}
		f, err := p.measure(locks, j.Length)
		return &Sample{Figures: f}, err
	},
}
