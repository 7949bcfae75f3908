package workload

import (
	"fmt"
	"time"
)

// The goroutines of one process that have a store at a distance.
const many = 64

var distance = &Workload{
	Name:  "distance",
	Title: "A store at a distance",
	About: fmt.Sprintf("What the server says passes through a proxy, which holds it back for so long. One goroutine, and then %d, take and give back mutexes that nobody else wants.", many),
	Unit:  "µs of round trip",
	Full:  Effort{Sizes: []int{500, 1000}, Rounds: 3, Length: 300 * time.Millisecond},
	Quick: Effort{Sizes: []int{500}, Rounds: 1, Length: 100 * time.Millisecond},

	Processes: 1,
	RoundTrip: func(size int) time.Duration { return time.Duration(size) * time.Microsecond },
	Columns: []Column{
		{"p50", "p50", Seconds, Lower},
		{"p99", "p99", Seconds, Lower},
		{"manypairs", fmt.Sprintf("%d goroutines, pairs/s", many), Number, Higher},
		{"manyp50", "p50", Seconds, Lower},
		{"manyp99", "p99", Seconds, Lower},
		{"connections", "connections", Number, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		if !p.Contestant.Store.Networked() {
			return nil, ErrNone
		}
		j.Size = many
		locks := p.own(j)
		f, err := p.measure(locks[:1], j.Length)
		if err != nil {
			return nil, err
		}
		all, err := p.measure(locks, j.Length)
		for _, key := range []string{"pairs", "p50", "p99"} {
			f["many"+key] = all[key]
		}
		f["connections"] = all["connections"]
		return &Sample{Figures: f}, err
	},
}
