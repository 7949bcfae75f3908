package workload

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

var once = &Workload{
	Name:  "once",
	Title: "Open, lock, unlock, close",
	About: "A goroutine does all that a short command does, again and again: it connects to the store, takes a mutex that nobody else wants, " +
		"gives it back and disconnects.",
	Unit:      "goroutines",
	Full:      Effort{Sizes: []int{1}, Rounds: 3, Length: 300 * time.Millisecond},
	Quick:     Effort{Sizes: []int{1}, Rounds: 1, Length: 100 * time.Millisecond},
	Processes: 1,
	Columns: []Column{
		{"pairs", "times/s", Number, Higher},
		{"p50", "p50", Seconds, Lower},
		{"p99", "p99", Seconds, Lower},
		{"client", "client CPU", Seconds, Neither},
		{"allocs", "allocations", Number, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		f, err := p.measure([]contestant.Lock{&visit{process: p, name: j.Names}}, j.Length)
		return &Sample{Figures: f}, err
	},
}

// A visit is a lock for which everything is opened, and closed again.
type visit struct {
	process *Process
	name    string

	locks contestant.Locks // of the present visit
	lock  contestant.Lock
}

func (v *visit) Lock() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if v.locks, err = v.process.Contestant.Open(ctx, v.process.Testbed); err != nil {
		return err
	}
	v.lock = v.locks.Mutex(v.name)
	return v.lock.Lock()
}

func (v *visit) Unlock() error {
	defer v.locks.Close()
	return v.lock.Unlock()
}
