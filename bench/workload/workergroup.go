package workload

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/testbed"
)

// A workerGroup is goroutines that take a lock and give it back, as fast as they can.
type workerGroup struct {
	workers []worker
	slice   time.Duration // after which a worker that never waits yields
	phase   atomic.Int32
	failure atomic.Pointer[error] // the first one
}

// The phases of a workerGroup.
const (
	warming int32 = iota
	counting
	over
)

// A worker is one goroutine of a workerGroup.
type worker struct {
	lock  contestant.Lock
	pairs atomic.Int64
	times []time.Duration // of pairs while the workerGroup was counting
	last  time.Duration   // of the pair that was under way when the time was over
	_     [64]byte        // keeps the counters of two workers out of one cache line
}

// measure has a goroutine work on each lock, and returns figures of what they did
// in the given time, after a quarter of it for warming up.
func (p *Process) measure(locks []contestant.Lock, length time.Duration) (Figures, error) {
	// Each has had a turn within half the time for warming up, even on one processor.
	c := &workerGroup{workers: make([]worker, len(locks)), slice: length / 8 / time.Duration(len(locks))}
	var wg sync.WaitGroup
	for i, l := range locks {
		w := &c.workers[i]
		w.lock = l
		wg.Go(func() { c.work(w) })
	}
	time.Sleep(length / 4)
	before := c.counts()
	allocs := mallocs()
	server, client, start := p.serverCPU(), testbed.OwnCPU(), time.Now()
	c.phase.Store(counting)
	time.Sleep(length)
	elapsed := time.Since(start)
	after := c.counts()
	server, client = p.serverCPU()-server, testbed.OwnCPU()-client
	allocs = mallocs() - allocs
	f := make(Figures)
	f.connections()
	c.phase.Store(over)
	wg.Wait()
	if err := c.failure.Load(); err != nil {
		return nil, *err
	}

	var pairs, least, most int64
	var times []time.Duration
	var longest time.Duration
	for i := range after {
		n := after[i] - before[i]
		pairs += n
		if i == 0 || n < least {
			least = n
		}
		most = max(most, n)
		times = append(times, c.workers[i].times...)
		longest = max(longest, c.workers[i].last)
	}
	if times == nil { // None was done in time.
		times = append(times, longest)
	}
	slices.Sort(times)
	longest = max(longest, stats.Percentile(times, 100))
	maps.Copy(f, Figures{
		"pairs":  float64(pairs) / elapsed.Seconds(),
		"p50":    stats.Percentile(times, 50).Seconds(),
		"p99":    stats.Percentile(times, 99).Seconds(),
		"max":    longest.Seconds(),
		"client": client.Seconds() / float64(max(pairs, 1)),
		"allocs": float64(allocs) / float64(max(pairs, 1)),
		"share":  float64(least) / float64(max(most, 1)),
	})
	if server > 0 {
		f["server"] = server.Seconds() / float64(max(pairs, 1))
	}
	return f, nil
}

// mallocs returns how many objects this process has allocated. It stops the world,
// or it would miss those that each processor has not reported yet.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func (c *workerGroup) counts() []int64 {
	counts := make([]int64, len(c.workers))
	for i := range c.workers {
		counts[i] = c.workers[i].pairs.Load()
	}
	return counts
}

// waited is how long a pair takes at least that has waited for something, so that
// others had the processor meanwhile.
const waited = 100 * time.Microsecond

// work takes and gives back a lock until the workerGroup's time is over. Pairs that take
// less than a microsecond are timed several at once, for the clock takes its time
// as well. Where pairs never wait, the runtime lets a goroutine run for 10 ms: of
// thousands most would never get a turn, unless they yield.
func (c *workerGroup) work(w *worker) {
	stride, start := 1, time.Now()
	var ran time.Duration // since others had the processor
	for {
		for range stride {
			if err := w.pair(); err != nil {
				c.fail(err)
				return
			}
		}
		end := time.Now()
		span := end.Sub(start)
		took := span / time.Duration(stride)
		start = end
		w.pairs.Add(int64(stride))
		switch c.phase.Load() {
		case counting:
			w.times = append(w.times, took)
		case over:
			w.last = took
			return
		}
		stride = 1 + int(time.Microsecond/max(took, 1))
		if ran += span; span >= waited {
			ran = 0
		} else if ran >= c.slice {
			runtime.Gosched()
			ran, start = 0, time.Now()
		}
	}
}

func (w *worker) pair() error {
	if err := w.lock.Lock(); err != nil {
		return err
	}
	return w.lock.Unlock()
}

func (c *workerGroup) fail(err error) { c.failure.CompareAndSwap(nil, &err) }
