package workload

import (
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

// tickets is the limit of the semaphore.
const tickets = 8

var semaphore = &Workload{
	Name:  "semaphore",
	Title: "A semaphore of 8",
	About: "Goroutines of 4 processes, of one where the store is memory, want one of 8 tickets for sections of 1 ms; " +
		"8 000 sections/s would be all that there is.",
	Unit:      "takers",
	Full:      Effort{Sizes: []int{64}, Rounds: 3, Length: time.Second},
	Quick:     Effort{Sizes: []int{64}, Rounds: 2, Length: 250 * time.Millisecond},
	Processes: 4,
	Columns: []Column{
		{"rate", "sections/s", Number, Higher},
		{"p50", "wait p50", Seconds, Lower},
		{"p99", "wait p99", Seconds, Lower},
		{"max", "longest wait", Seconds, Lower},
		{"share", "least/most of a process", Share, Higher},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		locks, ok := p.Locks.(contestant.Counter)
		if !ok {
			return nil, ErrNone
		}
		turns := make([]turn, j.Size)
		for i := range turns {
			ticket := locks.Semaphore(j.Names, tickets)
			turns[i] = func() (contestant.Lock, bool) { return ticket, false }
		}
		s, err := j.sections(turns)
		return &Sample{Sections: s}, err
	},
	join: func(samples []*Sample, j Job) (Figures, error) {
		sections, err := gather(samples, tickets, false)
		if err != nil {
			return nil, err
		}
		total, least, most := granted(sections, samples, j)
		f := Figures{
			"rate":  float64(total) / j.Length.Seconds(),
			"share": float64(least) / float64(max(most, 1)),
		}
		waits(f, "", sections)
		return f, nil
	},
}
