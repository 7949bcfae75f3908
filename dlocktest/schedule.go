package dlocktest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/dlock-go/dlock"
)

var scheduleChecks = []check{
	{"schedule/random locks, tries, time-outs, cancellations, releases and closes", checkSchedules},
}

func checkSchedules(f *fixture) {
	schedules := 6
	switch {
	case os.Getenv("DLOCK_LONG") != "":
		schedules = 40
	case testing.Short():
		schedules = 4
	}
	random := f.random()
	for i := range schedules {
		f.step(fmt.Sprint(i), func(f *fixture) { f.schedule(rand.New(rand.NewPCG(random.Uint64(), 0))) })
	}
}

// A target is a lock for a schedule, with the histories that a hold of it is
// part of.
type target struct {
	stakes []stake
	value  func(c *dlock.Client) lock
}

type stake struct {
	history *history
	read    bool
}

// enter begins a hold of a target, and leave ends it.
func (t *target) enter(f *fixture, token uint64) {
	for _, s := range t.stakes {
		if err := s.history.enter(s.read, token); err != nil {
			f.Error(err)
		}
	}
}

func (t *target) leave() {
	for _, s := range t.stakes {
		s.history.leave(s.read)
	}
}

// targets returns all that can be done with a few locks.
func (f *fixture) targets(limit int) []*target {
	m, n, rw, s := newHistory("mutex m", 1), newHistory("mutex n", 1), newHistory("rwmutex r", 1), newHistory("semaphore s", limit)
	mutex := func(c *dlock.Client, name string) *dlock.Mutex { return c.Mutex(f.name(name)) }
	return []*target{
		{[]stake{{m, false}}, func(c *dlock.Client) lock { return mutex(c, "m") }},
		{[]stake{{n, false}}, func(c *dlock.Client) lock { return mutex(c, "n") }},
		{[]stake{{rw, false}}, func(c *dlock.Client) lock { return c.RWMutex(f.name("r")) }},
		{[]stake{{rw, true}}, func(c *dlock.Client) lock { return readLock{c.RWMutex(f.name("r"))} }},
		{[]stake{{rw, true}}, func(c *dlock.Client) lock { return readLock{c.RWMutex(f.name("r"))} }},
		{[]stake{{s, false}}, func(c *dlock.Client) lock { return c.Semaphore(f.name("s"), limit) }},
		{[]stake{{m, false}, {n, false}}, func(c *dlock.Client) lock { return dlock.All(mutex(c, "n"), mutex(c, "m")) }},
		{[]stake{{rw, true}, {n, false}, {s, false}}, func(c *dlock.Client) lock {
			return dlock.All(c.Semaphore(f.name("s"), limit), c.RWMutex(f.name("r")).RLocker(), mutex(c, "n"))
		}},
	}
}

// schedule has goroutines of several clients do random things with a few locks,
// while the histories of the locks are checked. The seed determines what each of
// them does, though not how they interleave.
func (f *fixture) schedule(random *rand.Rand) {
	const steps = 40
	limit := 1 + random.IntN(4)
	targets := f.targets(limit)
	shared := f.clients(1+random.IntN(2), dlock.WithHandoff(0))
	shared = append(shared, f.client())
	var all sync.WaitGroup
	for i := range 6 + random.IntN(6) {
		w := &randomWorker{f: f, targets: targets, seed: random.Uint64()}
		if i%4 > 0 {
			w.shared = shared[i%len(shared)]
		}
		all.Go(func() { w.wander(steps) })
	}
	f.wait(&all)
	if f.Failed() {
		return
	}

	// Whatever happened, nothing is left of it.
	for _, p := range shared {
		f.until("what a client asked of the store is given back", p.recorder.balanced)
	}
	last, grants := f.client(), 0
	for _, t := range targets[:3] {
		f.free(t.value(last.Client))
	}
	for range limit {
		if !last.Semaphore(f.name("s"), limit).TryLock() {
			f.Error("a ticket is missing")
		}
	}
	for _, t := range targets {
		grants += t.stakes[0].history.grants
	}
	if grants == 0 {
		f.Error("nothing was granted in the whole schedule")
	}
}
