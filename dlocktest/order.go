package dlocktest

import (
	"slices"

	"github.com/dlock-go/dlock"
)

var orderChecks = []check{
	{"order/clients are served as they came", checkClientsInOrder},
	{"order/a client that had its turn goes to the tail", checkTurns},
	{"order/goroutines of a client are served as they came", checkGoroutinesInOrder},
	{"order/a try does not pass those who wait", checkTryWaitsItsTurn},
}

func checkClientsInOrder(f *fixture) {
	f.needs(f.caps.Queue, "Queue")
	f.forKinds(singles, func(f *fixture, k kind) {
		h := f.take(f.client(dlock.WithHandoff(0)).lock(k, "a"))
		var waiters []*waiter
		for _, p := range f.clients(6, dlock.WithHandoff(0)) {
			waiters = append(waiters, f.waiter(p.lock(k, "a")))
			p.queued(k.class, "a", 1)
		}
		for i, w := range waiters {
			for _, later := range waiters[i:] {
				later.waiting()
			}
			f.release(h)
			h = w.granted()
		}
	})
}

func checkTurns(f *fixture) {
	f.needs(f.caps.Queue, "Queue")
	f.forKinds(exclusives[:3], func(f *fixture, k kind) {
		const each = 4
		h := f.take(f.client().lock(k, "a"))
		var queues [2][]*waiter
		for i, p := range f.clients(2, dlock.WithHandoff(0)) {
			for range each {
				queues[i] = append(queues[i], f.waiter(p.lock(k, "a")))
				p.queued(k.class, "a", 1) // All of them have one place.
			}
		}
		for i := range each {
			for c := range queues {
				f.release(h)
				h = queues[c][i].granted()
			}
		}
		f.release(h)
	})
}

func checkGoroutinesInOrder(f *fixture) {
	f.forKinds(singles, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		h := f.take(a.lock(k, "a"))
		var waiters []*waiter
		for range 20 {
			waiters = append(waiters, f.waiter(b.lock(k, "a")))
		}
		for i, w := range waiters {
			f.release(h)
			h = w.granted()
			for _, later := range waiters[i+1:] {
				later.waiting()
			}
		}
		f.release(h)
	})
}

func checkTryWaitsItsTurn(f *fixture) {
	f.needs(f.caps.Queue, "Queue")
	f.forKinds(singles, func(f *fixture, k kind) {
		// Two waiters and one release: whoever is not granted still waits, so
		// that no try may come in between.
		a, b, c := f.client(), f.client(), f.client()
		h := f.take(a.lock(k, "a"))
		first := f.waiter(b.lock(k, "a"))
		b.queued(k.class, "a", 1)
		second := f.waiter(c.lock(k, "a"))
		c.queued(k.class, "a", 1)
		tries := slices.Repeat([]*client{a, b, c}, 3)
		f.release(h)
		for _, p := range tries {
			f.busy(p.lock(k, "a"))
		}
		h = first.granted()
		f.release(h)
		for i, p := range tries {
			if p.lock(k, "a").TryLock() {
				f.Fatalf("try %d came before one who waits", i)
			}
		}
		f.release(second.granted())
	})
}
