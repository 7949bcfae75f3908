//lint:file-ignore SA2001 That it can be locked at all is what is tested.

package dlocktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

var compositeChecks = []check{
	{"composite/all or nothing", checkAllOrNothing},
	{"composite/one deadline", checkOneDeadline},
	{"composite/released in reverse order", checkReverse},
	{"composite/the order of its parts does not matter", checkNoDeadlock},
	{"composite/a read lock in it is shared", checkReadersInside},
	{"composite/a composite in it counts as its parts", checkNested},
}

func checkAllOrNothing(f *fixture) {
	a, b := f.client(), f.client()
	parts := []lock{a.Mutex(f.name("a")), a.Mutex(f.name("b")), a.RWMutex(f.name("c")), a.Semaphore(f.name("d"), 1)}
	others := []lock{b.Mutex(f.name("a")), b.Mutex(f.name("b")), b.RWMutex(f.name("c")), b.Semaphore(f.name("d"), 1)}
	all := dlock.All(parts[3], parts[1], parts[0], parts[2])
	for i, other := range others {
		h := f.take(other)
		f.busy(all)
		w := f.waiter(all)
		w.waiting()
		w.cancel()
		if o := w.end(); !errors.Is(o.err, context.Canceled) {
			f.Errorf("a cancelled composite returned %v", o.err)
		}
		for j, other := range others {
			if j != i {
				f.freed(other)
			}
		}
		f.release(h)
	}
	h := f.take(all)
	for _, other := range others {
		f.busy(other)
	}
	f.release(h)
	for _, other := range others {
		f.free(other)
	}
}

func checkOneDeadline(f *fixture) {
	const (
		first    = 1500 * time.Millisecond // when the first part becomes free
		deadline = 2000 * time.Millisecond // of the whole
		slack    = 1400 * time.Millisecond // less than first, so that a deadline for each part is seen
	)
	a, b := f.client(), f.client()
	x, y := f.take(a.Mutex(f.name("x"))), f.take(a.Mutex(f.name("y")))
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	released := make(chan error, 1)
	time.AfterFunc(first, func() { released <- x.Release(context.Background()) })
	err := dlock.All(b.Mutex(f.name("x")), b.Mutex(f.name("y"))).LockContext(ctx)
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took < deadline || took > deadline+slack {
		f.Errorf("a composite with a deadline of %v returned %v after %v", deadline, err, took)
	}
	if err := done(f, "the first part is released", released); err != nil {
		f.Error(err)
	}
	f.freed(a.Mutex(f.name("x")))
	f.release(y)
}

func checkReverse(f *fixture) {
	p := f.client()
	all := dlock.All(p.Semaphore(f.name("a"), 2), p.Mutex(f.name("c")), p.RWMutex(f.name("b")), p.Mutex(f.name("a")), p.RWMutex(f.name("a")).RLocker())
	for name, use := range map[string]func(){
		"Lock":    func() { all.Lock(); all.Unlock() }, //nolint:staticcheck // What it asks of the store is what is looked at.
		"TryLock": func() { all.TryLock(); all.Unlock() },
		"Acquire": func() { f.release(f.take(all)) },
		"Do":      func() { _ = all.Do(f.patient(), func(context.Context) error { return nil }) },
	} {
		p.recorder.keep()
		use()
		var taken, given []lockID
		for _, op := range p.recorder.kept() {
			if id := (lockID{op.Class, op.Name}); op.Do == backend.Acquire {
				taken = append(taken, id)
			} else {
				given = append(given, id)
			}
		}
		slices.Reverse(given)
		if len(taken) != 5 || !slices.Equal(taken, given) {
			f.Errorf("%s takes %v and gives back, from the end, %v", name, taken, given)
		}
	}
}

func checkNoDeadlock(f *fixture) {
	const names, workers, rounds = 4, 12, 15
	clients := f.clients(3)
	seeds := f.random()
	var inside [names]atomic.Int32
	var all sync.WaitGroup
	for i := range workers {
		p, random := clients[i%len(clients)], rand.New(rand.NewPCG(seeds.Uint64(), 0))
		all.Go(func() {
			for range rounds {
				chosen := random.Perm(names)[:1+random.IntN(names)]
				var lockers []sync.Locker
				weights := make([]int32, names)
				for _, n := range chosen {
					rw := p.RWMutex(f.name(fmt.Sprint(n)))
					if random.IntN(3) == 0 {
						lockers, weights[n] = append(lockers, rw.RLocker()), 1
					} else {
						lockers, weights[n] = append(lockers, rw), writer
					}
				}
				c := dlock.All(lockers...)
				if random.IntN(4) > 0 || !c.TryLock() {
					c.Lock()
				}
				for _, n := range chosen {
					if now := inside[n].Add(weights[n]); weights[n] == writer && now != writer || now > writer {
						f.Errorf("a part that weighs %d finds %d", weights[n], now)
					}
				}
				time.Sleep(time.Duration(random.IntN(500)) * time.Microsecond)
				for _, n := range chosen {
					inside[n].Add(-weights[n])
				}
				c.Unlock()
			}
		})
	}
	f.wait(&all)
}

func checkReadersInside(f *fixture) {
	a, b := f.client(), f.client()
	x := dlock.All(a.RWMutex(f.name("r")).RLocker(), a.Mutex(f.name("a")))
	y := dlock.All(b.Mutex(f.name("b")), b.RWMutex(f.name("r")).RLocker())
	hx, hy := f.take(x), f.take(y)
	f.busy(a.RWMutex(f.name("r")))
	f.release(hx)
	f.busy(a.RWMutex(f.name("r")))
	f.release(hy)
	f.free(a.RWMutex(f.name("r")))

	a.RWMutex(f.name("r")).Lock()
	f.busy(x)
	f.busy(y)
}

func checkNested(f *fixture) {
	a, b := f.client(), f.client()
	inner := dlock.All(a.Mutex(f.name("a")), a.Mutex(f.name("b")))
	outer := dlock.All(a.Mutex(f.name("c")), inner)
	h := f.take(outer)
	for _, name := range []string{"a", "b", "c"} {
		f.busy(b.Mutex(f.name(name)))
	}
	f.busy(inner)
	f.release(h)
	h = f.take(inner)
	f.busy(outer)
	f.freed(b.Mutex(f.name("c")))
	f.release(h)
	f.free(outer)
}
