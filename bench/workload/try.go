package workload

import (
	"errors"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

var try = &Workload{
	Name:  "try",
	Title: "A try that is skipped when busy",
	About: "A process holds a mutex, and another tries to take it, again and again, as a job does that is not run while it runs elsewhere. " +
		"Where the store is memory, they are goroutines of one process.",
	Unit:      "processes",
	Full:      Effort{Sizes: []int{2}, Rounds: 3, Length: 300 * time.Millisecond},
	Quick:     Effort{Sizes: []int{2}, Rounds: 1, Length: 100 * time.Millisecond},
	Processes: 2,
	Columns: []Column{
		{"pairs", "tries/s", Number, Higher},
		{"p50", "p50", Seconds, Lower},
		{"p99", "p99", Seconds, Lower},
		{"connections", "connections", Number, Neither},
		{"client", "client CPU a try", Seconds, Neither},
		{"server", "server CPU a try", Seconds, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		mu := p.Locks.Mutex(j.Names)
		tried, ok := p.Locks.Mutex(j.Names).(contestant.Trier)
		if !ok {
			return nil, ErrNone
		}
		alone := j.Size == j.Whole
		if j.Process == 0 {
			if err := mu.Lock(); err != nil {
				return nil, err
			}
		}
		j.Start.Sleep()
		if j.Process == 0 && !alone {
			j.Start.Add(2 * j.Length).Sleep() // The other one may begin late.
			return &Sample{}, mu.Unlock()
		}
		f, err := p.measure([]contestant.Lock{skipping{tried}}, j.Length)
		if alone {
			err = errors.Join(err, mu.Unlock())
		}
		return &Sample{Figures: f}, err
	},
	join: func(samples []*Sample, _ Job) (Figures, error) { return samples[len(samples)-1].Figures, nil },
}

// skipping is a lock that is tried, and left alone when it is busy.
type skipping struct{ contestant.Trier }

func (l skipping) Lock() error {
	ok, err := l.TryLock()
	if !ok || err != nil {
		return err
	}
	// Who is to hold it has not begun, or is over.
	if err := l.Trier.(contestant.Lock).Unlock(); err != nil {
		return err
	}
	time.Sleep(stay)
	return nil
}

func (l skipping) Unlock() error { return nil }
