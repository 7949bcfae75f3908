package workload

import (
	"math/rand/v2"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

var readWrite = &Workload{
	Name:  "readwrite",
	Title: "Readers and writers, 95 to 5",
	About: "Goroutines of 4 processes, of one where the store is memory, want the same reader-writer lock for sections of 1 ms, " +
		"of which 5 % write.",
	Unit:      "goroutines",
	Full:      Effort{Sizes: []int{64}, Rounds: 3, Length: time.Second},
	Quick:     Effort{Sizes: []int{64}, Rounds: 2, Length: 250 * time.Millisecond},
	Processes: 4,
	Columns: []Column{
		{"rate", "sections/s", Number, Higher},
		{"readp50", "reader waits p50", Seconds, Lower},
		{"readp99", "reader p99", Seconds, Lower},
		{"writep50", "writer waits p50", Seconds, Lower},
		{"writep99", "writer p99", Seconds, Lower},
		{"writemax", "longest of a writer", Seconds, Lower},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		locks, ok := p.Locks.(contestant.ReadWriter)
		if !ok {
			return nil, ErrNone
		}
		turns := make([]turn, j.Size)
		for i := range turns {
			write, read := locks.RWMutex(j.Names)
			random := rand.New(rand.NewPCG(uint64(j.Process), uint64(i)))
			turns[i] = func() (contestant.Lock, bool) {
				if random.IntN(100) < 5 {
					return write, false
				}
				return read, true
			}
		}
		s, err := j.sections(turns)
		return &Sample{Sections: s}, err
	},
	join: func(samples []*Sample, j Job) (Figures, error) {
		sections, err := gather(samples, j.Whole, true)
		if err != nil {
			return nil, err
		}
		total, _, _ := granted(sections, samples, j)
		f := Figures{"rate": float64(total) / j.Length.Seconds()}
		var reads, writes []Section
		for _, s := range sections {
			if s.Reads {
				reads = append(reads, s)
			} else {
				writes = append(writes, s)
			}
		}
		waits(f, "read", reads)
		waits(f, "write", writes)
		return f, nil
	},
}
