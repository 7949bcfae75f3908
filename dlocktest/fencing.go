package dlocktest

import (
	"math"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

var fencingChecks = []check{
	{"fencing/tokens grow from holder to holder and from client to client", checkTokensGrow},
	{"fencing/tokens grow over hand-overs in memory", checkTokensHandedOver},
	{"fencing/readers that share a hold have tokens of their own", checkTokensShared},
	{"fencing/a composite has no token", checkNoToken},
}

// token returns the token of a hold, which has to be greater than the last one.
func (f *fixture) token(h *dlock.Hold, last uint64) uint64 {
	f.Helper()
	token, ok := h.Token()
	switch {
	case ok != f.caps.Fencing || ok != (token != 0):
		f.Fatalf("Token is %d, %v where Caps.Fencing is %v", token, ok, f.caps.Fencing)
	case token > math.MaxInt64:
		f.Fatalf("token %d is no positive BIGINT", token)
	case ok && token <= last:
		f.Fatalf("token %d comes after %d", token, last)
	}
	return token
}

func checkTokensGrow(f *fixture) {
	f.forKinds(singles, func(f *fixture, k kind) {
		var last uint64
		for range 3 {
			for _, p := range f.clients(3) {
				for range 3 {
					h := f.take(p.lock(k, "a"))
					last = f.token(h, last)
					f.release(h)
				}
			}
		}
	})
	f.step("readers and writers", func(f *fixture) {
		a, b := f.client(), f.client()
		var last uint64
		for i := range 10 {
			for _, l := range []lock{a.RWMutex(f.name("a")), readLock{b.RWMutex(f.name("a"))}, b.RWMutex(f.name("a")), readLock{a.RWMutex(f.name("a"))}}[i%3:] {
				h := f.take(l)
				last = f.token(h, last)
				f.release(h)
			}
		}
	})
}

func checkTokensHandedOver(f *fixture) {
	f.forKinds(singles, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		h := f.take(a.lock(k, "a"))
		last := f.token(h, 0)
		var waiters []*waiter
		for range 20 {
			waiters = append(waiters, f.waiter(a.lock(k, "a")))
		}
		for _, w := range waiters {
			f.release(h)
			h = w.granted()
			last = f.token(h, last)
		}
		f.release(h)
		f.token(f.take(b.lock(k, "a")), last)
	})
}

func checkTokensShared(f *fixture) {
	f.needs(f.caps.Fencing, "Fencing")
	a, b := f.client(), f.client()
	seen := make(map[uint64]bool)
	var last uint64
	var readers []*dlock.Hold
	for i := range 20 {
		h := f.take(readLock{[]*client{a, b}[i%2].RWMutex(f.name("a"))})
		token := f.token(h, 0)
		if seen[token] {
			f.Fatalf("two readers have the token %d", token)
		}
		seen[token] = true
		last = max(last, token)
		readers = append(readers, h)
	}
	for _, h := range readers {
		f.release(h)
	}
	f.token(f.take(a.RWMutex(f.name("a"))), last)
}

func checkNoToken(f *fixture) {
	p := f.client()
	h := f.take(dlock.All(p.Mutex(f.name("a")), p.Mutex(f.name("b"))))
	if token, ok := h.Token(); ok || token != 0 {
		f.Errorf("Token is %d, %v", token, ok)
	}
	if a := p.recorder.account(backend.Mutex, f.name("b")); a.acquires != 1 {
		f.Errorf("the composite is not what it was taken for: %+v", a)
	}
}
