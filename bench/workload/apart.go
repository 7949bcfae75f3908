package workload

import (
	"errors"
	"time"
)

var apart = &Workload{
	Name:  "apart",
	Title: "Processes on names of their own",
	About: "Processes of one goroutine each take and give back a mutex that nobody else wants. " +
		"The times are those of the slowest process; the share is that of the process with the fewest pairs to that of the one with the most.",
	Unit:      "processes",
	Full:      Effort{Sizes: []int{4}, Rounds: 3, Length: 300 * time.Millisecond},
	Quick:     Effort{Sizes: []int{4}, Rounds: 1, Length: 100 * time.Millisecond},
	Processes: 4,
	Columns: []Column{
		{"pairs", "pairs/s", Number, Higher},
		{"p50", "p50", Seconds, Lower},
		{"p99", "p99", Seconds, Lower},
		{"share", "least/most", Share, Higher},
		{"connections", "connections", Number, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		if !p.Contestant.Store.Shared() {
			return nil, ErrNone
		}
		locks := p.own(j)
		j.Start.Sleep()
		f, err := p.measure(locks, j.Length)
		return &Sample{Figures: f}, err
	},
	join: func(samples []*Sample, _ Job) (Figures, error) {
		all := make(Figures)
		least, most := samples[0].Figures["pairs"], 0.0
		for _, s := range samples {
			f := s.Figures
			all["pairs"] += f["pairs"]
			if n, ok := f["connections"]; ok {
				all["connections"] += n
			}
			all["p50"], all["p99"] = max(all["p50"], f["p50"]), max(all["p99"], f["p99"])
			least, most = min(least, f["pairs"]), max(most, f["pairs"])
		}
		if most == 0 {
			return nil, errors.New("nobody had the lock")
		}
		all["share"] = least / most
		return all, nil
	},
}
