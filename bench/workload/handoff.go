package workload

import (
	"slices"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/stats"
)

var handOff = &Workload{
	Name:  "handoff",
	Title: "Processes on one name",
	About: "Processes of one goroutine each want the same mutex again and again, for sections of 1 ms. " +
		"The gap is from the call of Unlock to the next grant, to whomever; the share is that of the process with the fewest grants to that of the one with the most.",
	Unit:      "processes",
	Full:      Effort{Sizes: []int{4}, Rounds: 4, Length: 1200 * time.Millisecond},
	Quick:     Effort{Sizes: []int{4}, Rounds: 2, Length: 300 * time.Millisecond},
	Processes: 4,
	Columns: []Column{
		{"gap50", "gap p50", Seconds, Lower},
		{"gap99", "gap p99", Seconds, Lower},
		{"gapmax", "longest gap", Seconds, Lower},
		{"rate", "sections/s", Number, Higher},
		{"share", "least/most", Share, Higher},
		{"max", "longest wait", Seconds, Lower},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		turns := make([]turn, j.Size)
		for i := range turns {
			mu := p.Locks.Mutex(j.Names)
			turns[i] = func() (contestant.Lock, bool) { return mu, false }
		}
		s, err := j.sections(turns)
		return &Sample{Sections: s}, err
	},
	join: func(samples []*Sample, j Job) (Figures, error) {
		sections, err := gather(samples, 1, true)
		if err != nil {
			return nil, err
		}
		_, until := j.window()
		var gaps []time.Duration
		for i := 1; i < len(sections) && sections[i].Granted <= until; i++ {
			gaps = append(gaps, sections[i].Granted.Sub(sections[i-1].Left))
		}
		slices.Sort(gaps)
		total, least, most := granted(sections, samples, j)
		f := Figures{
			"gap50":  stats.Percentile(gaps, 50).Seconds(),
			"gap99":  stats.Percentile(gaps, 99).Seconds(),
			"gapmax": stats.Percentile(gaps, 100).Seconds(),
			"rate":   float64(total) / j.Length.Seconds(),
			"share":  float64(least) / float64(max(most, 1)),
		}
		waits(f, "", sections)
		return f, nil
	},
}
