//lint:file-ignore SA2001 That it can be locked at all is what is tested.

package dlocktest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var costChecks = []check{
	{"cost/a name that was never contended is one acquire and one release", checkCostAlone},
	{"cost/a try that this client can answer is nothing", checkCostOwnTry},
	{"cost/hand-overs in memory are nothing", checkCostHandOver},
	{"cost/readers that come together are one acquire and one release", checkCostReaders},
	{"cost/10 000 goroutines that wait are one waiter", checkCostCrowd},
}

// cost fails the test unless a lock comes to cost the store so many acquires,
// and as many releases.
func (p *client) cost(k kind, name string, want int) {
	p.f.Helper()
	p.f.until("what was taken is given back", func() bool {
		a := p.recorder.account(k.class, p.f.name(name))
		return a.releases >= a.acquires
	})
	if a := p.recorder.account(k.class, p.f.name(name)); a.acquires != want || a.releases != want {
		p.f.Errorf("%d acquires and %d releases; want %d of each", a.acquires, a.releases, want)
	}
}

func checkCostAlone(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		p := f.client()
		l := p.lock(k, "a")
		for i := range 10 {
			l.Lock()
			l.Unlock() //nolint:staticcheck // What it asks of the store is what is looked at.
			if err := l.Do(f.patient(), func(context.Context) error { return nil }); err != nil {
				f.Error(err)
			}
			f.release(f.take(l))
			f.free(l)
			p.cost(k, "a", 6*(i+1))
		}
	})
}

func checkCostOwnTry(f *fixture) {
	f.forKinds(exclusives[:3], func(f *fixture, k kind) {
		p := f.client()
		h := f.take(p.lock(k, "a"))
		for range 5 {
			f.busy(p.lock(k, "a"))
		}
		f.release(h)
		p.cost(k, "a", 1)
	})
}

func checkCostHandOver(f *fixture) {
	f.needs(f.caps.Contended, "Contended")
	f.forKinds(singles, func(f *fixture, k kind) {
		p := f.client()
		h := f.take(p.lock(k, "a"))
		var waiters []*waiter
		for range 50 {
			waiters = append(waiters, f.waiter(p.lock(k, "a")))
		}
		for _, w := range waiters {
			f.release(h)
			h = w.granted()
		}
		f.release(h)
		if k.drain == 0 {
			p.cost(k, "a", 1)
			return
		}
		// The other tickets are asked for as well, as long as somebody waits.
		f.until("what was taken is given back", func() bool {
			a := p.recorder.account(k.class, f.name("a"))
			return a.releases >= a.acquires
		})
		if a := p.recorder.account(k.class, f.name("a")); a.acquires > 10 {
			f.Errorf("%d acquires for one who came first and 50 who waited behind it", a.acquires)
		}
	})
}

func checkCostReaders(f *fixture) {
	f.needs(f.caps.Contended, "Contended")
	p, k := f.client(), kinds[len(kinds)-1]
	l := p.lock(k, "a")
	first := f.take(l)
	for range 20 {
		h := f.take(l)
		defer f.release(h)
	}
	f.release(first)
	if a := p.recorder.account(k.class, f.name("a")); a.acquires != 1 || a.releases != 0 {
		f.Errorf("21 readers of one client: %+v", a)
	}
}

func checkCostCrowd(f *fixture) {
	crowd := maxGoroutines
	if testing.Short() {
		crowd = 1_000
	}
	for _, k := range []kind{exclusives[0], exclusives[1], exclusives[2]} {
		f.step(k.name, func(f *fixture) {
			holder, p := f.client(), f.client()
			h := f.take(holder.lock(k, "a"))
			l, inside := p.lock(k, "a"), 0
			var arrived, all sync.WaitGroup
			ctx, cancel := context.WithTimeout(context.Background(), 6*f.Patience)
			defer f.wait(&all) // when the check fails early, too
			defer cancel()
			for range crowd {
				arrived.Add(1)
				all.Go(func() {
					a := &arrival{Context: ctx, told: make(chan struct{}), tell: sync.OnceFunc(arrived.Done)}
					err := l.LockContext(a)
					a.tell()
					if err != nil {
						f.Error(err)
						return
					}
					inside++ // The race detector sees whether two hold the lock.
					l.Unlock()
				})
			}
			arrived.Wait()
			p.queued(k.class, "a", 1)
			f.release(h)
			began := time.Now()
			f.wait(&all)
			a := p.recorder.account(k.class, f.name("a"))
			f.Logf("%d goroutines served in %v by %d acquires", inside, time.Since(began), a.acquires)
			if inside != crowd || a.most != 1 {
				f.Errorf("%d of %d were served, and at most %d waited at the store; want 1", inside, crowd, a.most)
			}
		})
	}
	f.step("tickets of a semaphore of 3", func(f *fixture) {
		holder, p := f.client(), f.client()
		for range 3 {
			holder.Semaphore(f.name("s"), 3).Lock()
		}
		var waiters []*waiter
		for range 20 {
			waiters = append(waiters, f.waiter(p.Semaphore(f.name("s"), 3)))
		}
		p.queued(backend.Semaphore, "s", 3)
		holder.close()
		for _, w := range waiters {
			f.release(w.granted())
		}
		if a := p.recorder.account(backend.Semaphore, f.name("s")); a.most != 3 {
			f.Errorf("at most %d waited at the store; want 3", a.most)
		}
	})
}
