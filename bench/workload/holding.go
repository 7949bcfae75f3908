package workload

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/testbed"
)

var holding = &Workload{
	Name:  "holding",
	Title: "Locks that are held",
	About: "One process takes so many mutexes and holds them, with a time to live of 6 s where there is one. " +
		"What it says to the server meanwhile is read from the server's own statistics. " +
		"The locks of redsync and redislock end unless their user renews them, which 16 goroutines here do every 2 s.",
	Unit:      "locks",
	Full:      Effort{Sizes: []int{1_000, 10_000, 100_000}, Rounds: 1, Length: 6 * time.Second},
	Quick:     Effort{Sizes: []int{1_000, 4_000}, Rounds: 1, Length: 2 * time.Second},
	Processes: 1,
	Fresh:     true,
	Columns: []Column{
		{"commands", "commands/s", Number, Lower},
		{"bytes", "bytes/s", Bytes, Lower},
		{"cpu", "server CPU/s", Seconds, Lower},
		{"connections", "connections", Number, Neither},
		{"memory", "client memory each", Bytes, Lower},
		{"kept", "server memory each", Bytes, Lower},
		{"taken", "taken/s", Number, Higher},
		{"freed", "freed/s", Number, Higher},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		if most := p.Contestant.Holds; most > 0 && j.Size > most {
			return nil, fmt.Errorf("at most %d", most)
		}
		ctx := context.Background()
		meter, err := p.meter(ctx)
		if err != nil {
			return nil, err
		}
		before := settledMemory()
		c := &collection{locks: make([]contestant.Lock, j.Size), stop: make(chan struct{})}
		taken, err := c.each(takers, func(i int) error {
			c.locks[i] = p.Locks.Mutex(fmt.Sprintf("%s-%d", j.Names, i))
			return c.locks[i].Lock()
		})
		if err != nil {
			return nil, err
		}
		var renewal sync.WaitGroup
		failed := make(chan error, 1)
		if _, ok := c.locks[0].(contestant.Renewer); ok {
			renewal.Go(func() { failed <- c.renew() })
		}
		f := Figures{
			"taken":  float64(j.Size) / taken.Seconds(),
			"memory": float64(settledMemory()-before) / float64(j.Size),
		}
		if meter != nil {
			defer meter.Close()
			f["connections"] = float64(testbed.Connections() - meter.Connections)
			grown, err := meter.Read(ctx)
			if err != nil {
				return nil, err
			}
			if grown.Memory > 0 {
				f["kept"] = grown.Memory / float64(j.Size)
			}
			time.Sleep(j.Length)
			said, err := meter.Read(ctx)
			if err != nil {
				return nil, err
			}
			f["commands"] = said.Commands / j.Length.Seconds()
			if said.Bytes > 0 {
				f["bytes"] = said.Bytes / j.Length.Seconds()
				f["cpu"] = said.CPU / j.Length.Seconds()
			}
		}
		close(c.stop)
		renewal.Wait()
		select {
		case err := <-failed:
			if err != nil {
				return nil, fmt.Errorf("renewing: %w", err)
			}
		default:
		}
		freed, err := c.each(takers, func(i int) error { return c.locks[i].Unlock() })
		f["freed"] = float64(j.Size) / freed.Seconds()
		return &Sample{Figures: f}, err
	},
}

// How many goroutines take the locks, and renew them.
const (
	takers   = 64
	renewers = 16
)

// A collection is locks that are held.
type collection struct {
	locks []contestant.Lock
	stop  chan struct{} // closed when they need no renewing any more
}

// each does something with each lock, in several goroutines, and returns how long
// that took.
func (c *collection) each(goroutines int, do func(i int) error) (time.Duration, error) {
	start := time.Now()
	var wg sync.WaitGroup
	failed := make(chan error, goroutines)
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < len(c.locks); i += goroutines {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return time.Since(start), nil
	}
}

// renew renews all locks in every third of their time to live until they are to
// be given back.
func (c *collection) renew() error {
	next := time.NewTicker(contestant.TTL / 3)
	defer next.Stop()
	for {
		_, err := c.each(renewers, func(i int) error { return c.locks[i].(contestant.Renewer).Renew() })
		if err != nil {
			return err
		}
		select {
		case <-next.C:
		case <-c.stop:
			return nil
		}
	}
}

// settledMemory returns the bytes of live objects and of stacks.
func settledMemory() int64 {
	heap, stacks := memory()
	return heap + stacks
}

func memory() (heap, stacks int64) {
	runtime.GC()
	runtime.GC() // What had a finalizer is gone only now.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
