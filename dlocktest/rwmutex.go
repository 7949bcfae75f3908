package dlocktest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

var rwChecks = []check{
	{"rwmutex/many readers at once, and a writer after the last", checkReaders},
	{"rwmutex/a writer that waits keeps new readers out, and enters", checkWriterPreferred},
	{"rwmutex/a writer goes before a reader of its client that has waited for longer", checkWriterBeforeReader},
	{"rwmutex/readers have a turn among many writers", checkReadersTurn},
	{"rwmutex/a crowd of readers and writers", checkReaderWriterCrowd},
	{"rwmutex/RLocker is the read lock", checkRLocker},
}

func checkReaders(f *fixture) {
	clients := f.clients(3)
	var readers []*dlock.Hold
	for i := range 12 {
		h, err := clients[i%3].RWMutex(f.name("a")).TryAcquireRead(f.patient())
		if err != nil {
			f.Fatalf("reader %d: %v", i, err)
		}
		readers = append(readers, h)
	}
	last := clients[0].RWMutex(f.name("a"))
	last.RLock()
	for _, p := range clients {
		f.busy(p.RWMutex(f.name("a")))
	}
	w := f.waiter(clients[1].RWMutex(f.name("a")))
	for _, h := range readers {
		f.release(h)
	}
	f.busy(clients[2].RWMutex(f.name("a")))
	w.waiting()
	last.RUnlock()
	h := w.granted()
	for _, p := range clients {
		f.busy(readLock{p.RWMutex(f.name("a"))})
	}
	f.release(h)
	f.free(clients[2].RWMutex(f.name("a")))
}

func checkWriterBeforeReader(f *fixture) {
	f.needs(f.caps.Queue, "Queue")
	p := f.client()
	for range 3 {
		held := f.take(p.RWMutex(f.name("a")))
		reader := f.waiter(readLock{p.RWMutex(f.name("a"))})
		// Longer than a lock is handed on in memory, so that it is the store's turn.
		time.Sleep(80 * time.Millisecond)
		writer := f.waiter(p.RWMutex(f.name("a")))
		f.release(held)
		h := writer.granted()
		reader.waiting()
		f.release(h)
		f.release(reader.granted())
	}
}

func checkWriterPreferred(f *fixture) {
	f.step("a writer elsewhere", func(f *fixture) {
		a, b, c := f.client(), f.client(), f.client()
		reader := f.take(readLock{a.RWMutex(f.name("a"))})
		writer := f.waiter(b.RWMutex(f.name("a")))
		b.queued(backend.RWMutex, "a", 1)
		f.busy(readLock{b.RWMutex(f.name("a"))})
		f.busy(readLock{c.RWMutex(f.name("a"))})
		// The client of the reader may take more readers in until its budget is
		// spent, and not for longer.
		rw := a.RWMutex(f.name("a"))
		f.until("new readers are kept out", func() bool {
			if rw.TryRLock() {
				rw.RUnlock()
				return false
			}
			return true
		})
		f.busy(readLock{rw})

		late := []*waiter{f.waiter(readLock{a.RWMutex(f.name("a"))}), f.waiter(readLock{c.RWMutex(f.name("a"))})}
		c.queued(backend.RWMutex, "a", 1)
		for _, w := range append(late, writer) {
			w.waiting()
		}
		f.release(reader)
		h := writer.granted()
		for _, w := range late {
			w.waiting()
		}
		f.release(h)
		for _, w := range late {
			f.release(w.granted())
		}
		f.free(b.RWMutex(f.name("a")))
	})
	f.step("a writer of the same client", func(f *fixture) {
		a, b := f.client(), f.client()
		reader := f.take(readLock{a.RWMutex(f.name("a"))})
		writer := f.waiter(a.RWMutex(f.name("a")))
		f.busy(readLock{a.RWMutex(f.name("a"))})
		a.queued(backend.RWMutex, "a", 1)
		f.busy(readLock{b.RWMutex(f.name("a"))})
		late := f.waiter(readLock{a.RWMutex(f.name("a"))})
		f.release(reader)
		h := writer.granted()
		late.waiting()
		f.release(h)
		f.release(late.granted())
	})
	f.step("a writer that gives up lets them in", func(f *fixture) {
		a, b := f.client(), f.client()
		reader := f.take(readLock{a.RWMutex(f.name("a"))})
		writer := f.waiter(b.RWMutex(f.name("a")))
		b.queued(backend.RWMutex, "a", 1)
		late := f.waiter(readLock{b.RWMutex(f.name("a"))})
		late.waiting()
		writer.cancel()
		f.release(late.granted())
		f.release(reader)
	})
}

func checkReadersTurn(f *fixture) {
	for name, size := range map[string]int{"one client": 1, "three clients": 3} {
		f.step(name, func(f *fixture) {
			clients := f.clients(size)
			var written atomic.Int64
			var stop atomic.Bool
			var writers sync.WaitGroup
			defer f.wait(&writers)
			defer stop.Store(true)
			for i := range 12 {
				rw := clients[i%size].RWMutex(f.name("a"))
				writers.Go(func() {
					for !stop.Load() {
						rw.Lock()
						written.Add(1)
						rw.Unlock()
					}
				})
			}
			f.until("the writers are at work", func() bool { return written.Load() > 100 })
			for _, p := range clients {
				for range 3 {
					before := written.Load()
					f.release(f.take(readLock{p.RWMutex(f.name("a"))}))
					f.Logf("a reader had its turn after %d writers", written.Load()-before)
				}
			}
		})
	}
}

// A writer counts for so much in what is inside that no crowd of readers does.
const writer = 10_000

func checkReaderWriterCrowd(f *fixture) {
	for name, size := range map[string]int{"one client": 1, "four clients": 4} {
		f.step(name, func(f *fixture) {
			clients := f.clients(size)
			var inside, most atomic.Int32
			read := func(context.Context) error {
				n := inside.Add(1)
				if n < 1 || n >= writer {
					f.Errorf("a reader finds %d", n)
				}
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				return nil
			}
			write := func(context.Context) error {
				if n := inside.Add(writer); n != writer {
					f.Errorf("a writer finds %d", n)
				}
				time.Sleep(time.Millisecond)
				inside.Add(-writer)
				return nil
			}
			var all sync.WaitGroup
			for i := range crowdSize {
				rw := clients[i%size].RWMutex(f.name("a"))
				all.Go(func() {
					for range 3 {
						var err error
						if i/size%4 == 0 {
							err = rw.Do(context.Background(), write)
						} else {
							err = rw.DoRead(context.Background(), read)
						}
						if err != nil {
							f.Error(err)
						}
					}
				})
			}
			f.wait(&all)
			f.Logf("at most %d readers at the same time", most.Load())
			f.free(clients[0].RWMutex(f.name("a")))
		})
	}
}

func checkRLocker(f *fixture) {
	a, b := f.client(), f.client()
	rw := a.RWMutex(f.name("a"))
	l := rw.RLocker()
	l.Lock()
	rw.RLock()
	f.busy(b.RWMutex(f.name("a")))
	f.free(readLock{b.RWMutex(f.name("a"))})
	rw.RUnlock() // RLocker and RLock are of one value.
	f.busy(b.RWMutex(f.name("a")))
	l.Unlock()
	f.free(b.RWMutex(f.name("a")))
	mustPanic(f, "unlock by an RLocker of what is not locked", l.Unlock)
}
