package workload

import (
	"fmt"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
)

var waiting = &Workload{
	Name:  "waiting",
	Title: "Goroutines that wait for one name",
	About: "So many goroutines of one process wait for a mutex that one more holds. When it lets go, each takes the mutex and gives it back; " +
		"the time is until the last one has. The memory is that of live objects, the goroutine among them, and beside the stack. Who has not served all within 4 s (1 s in a quick run) is not tried with more.",
	Unit:      "waiters",
	Full:      Effort{Sizes: []int{100, 1_000, 10_000, 100_000}, Rounds: 2, Length: 4 * time.Second},
	Quick:     Effort{Sizes: []int{10_000}, Rounds: 1, Length: time.Second},
	Processes: 1,
	Fresh:     true,
	Columns: []Column{
		{"each", "time a waiter", Seconds, Lower},
		{"all", "all served in", Seconds, Neither},
		{"served", "served", Number, Higher},
		{"memory", "memory each", Bytes, Lower},
		{"stack", "stack each", Bytes, Neither},
		{"queued", "wait at the store", Number, Neither},
		{"connections", "connections", Number, Neither},
	},
	work: func(p *Process, j Job) (*Sample, error) {
		if most := p.Contestant.Waits; most > 0 && j.Size > most {
			return nil, fmt.Errorf("at most %d", most)
		}
		mu := p.Locks.Mutex(j.Names)
		if err := mu.Lock(); err != nil {
			return nil, err
		}
		locks := make([]contestant.Lock, j.Size)
		for i := range locks {
			locks[i] = p.Locks.Mutex(j.Names)
		}
		heap, stacks := memory()
		var served atomic.Int64
		last := make(chan error, 1) // of the last one, or of one that failed
		for _, l := range locks {
			go waitOnce(l, &served, int64(j.Size), last)
		}
		awaitQuiet(2 * time.Second)
		heapNow, stacksNow := memory()
		f := Figures{
			"memory": float64(heapNow-heap) / float64(j.Size),
			"stack":  float64(stacksNow-stacks) / float64(j.Size),
		}
		f.connections()
		if q, ok := p.Locks.(contestant.Queuer); ok {
			f["queued"] = float64(q.Queued())
		}
		start := time.Now()
		if err := mu.Unlock(); err != nil {
			return nil, err
		}
		select {
		case err := <-last:
			if err != nil {
				return nil, err
			}
			all := time.Since(start)
			f["all"], f["each"] = all.Seconds(), all.Seconds()/float64(j.Size)
		case <-time.After(j.Length):
		}
		f["served"] = float64(served.Load())
		return &Sample{Figures: f}, nil
	},
}

// waitOnce is one waiter.
func waitOnce(l contestant.Lock, served *atomic.Int64, all int64, last chan<- error) {
	err := l.Lock()
	if err == nil {
		err = l.Unlock()
	}
	if err != nil || served.Add(1) == all {
		select {
		case last <- err:
		default:
		}
	}
}

// awaitQuiet waits until hardly any goroutine has something to do, but not for
// ever: where waiters poll there may always be some.
func awaitQuiet(patience time.Duration) {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}, {Name: "/sched/goroutines/running:goroutines"}}
	quiet := 0
	for deadline := time.Now().Add(patience); quiet < 5 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		metrics.Read(sample)
		if sample[0].Value.Uint64()+sample[1].Value.Uint64() <= 2 {
			quiet++
		} else {
			quiet = 0
		}
	}
}
