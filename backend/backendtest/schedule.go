package backendtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

var scheduleChecks = []check{
	{"schedule/random acquires, tries, withdrawals, releases and closes", checkSchedules},
}

func checkSchedules(f *fixture) {
	schedules := 6
	switch {
	case os.Getenv("DLOCK_LONG") != "":
		schedules = 40
	case testing.Short():
		schedules = 4
	}
	random := Rand(f.T)
	for i := range schedules {
		f.step(fmt.Sprint(i), func(f *fixture) { f.schedule(rand.New(rand.NewPCG(random.Uint64(), 0))) })
	}
}

// schedule has several processes do random things with a few locks, while the
// histories of the locks are checked. The seed determines what each process
// does, though not how they interleave.
func (f *fixture) schedule(random *rand.Rand) {
	const steps = 60
	locks := []*history{
		{op: mutex("m")},
		{op: mutex("n")},
		{op: writer("r"), readers: true},
		{op: ticket("s", 1+random.Uint32N(4))},
	}
	for _, h := range locks {
		h.fenced, h.seen = f.Caps.Fencing, make(map[uint64]bool)
	}
	var all sync.WaitGroup
	for range 2 + random.IntN(3) {
		w := &randomWorker{
			f:      f,
			random: rand.New(rand.NewPCG(random.Uint64(), 0)),
			locks:  locks,
			turn:   make(chan *claim, 8*steps),
		}
		all.Go(func() {
			if err := w.wander(steps); err != nil {
				f.Error(err)
			}
		})
	}
	all.Wait()
	if f.Failed() {
		return
	}
	// Whatever happened, nothing is left of it.
	p, grants := f.peer(), 0
	for _, h := range locks {
		for range max(1, h.op.Limit) {
			p.take(h.op)
		}
		p.busy(h.op)
		grants += h.grants
	}
	if grants == 0 {
		f.Error("nothing was granted in the whole schedule")
	}
}
