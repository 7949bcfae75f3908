package backendtest

import (
	"sync"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

var withdrawalChecks = []check{
	{"withdrawal/a waiter that goes leaves nothing behind", checkWithdraw},
	{"withdrawal/acquire and release in one batch", checkWithdrawInBatch},
	{"withdrawal/those behind move up in order", checkWithdrawOrder},
	{"withdrawal/of what was granted meanwhile frees it", checkWithdrawGranted},
	{"withdrawal/racing with the grant", checkWithdrawRace},
}

func checkWithdraw(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		held := a.take(op)
		waiter := b.acquire(op)
		waiter.waiting()
		waiter.release()
		waiter.release()
		held.holding()
		c.busy(op)
		held.release()
		c.free(op)
	})
}

func checkWithdrawInBatch(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		held := a.take(op)
		x, y := b.claim(op, true, nil), b.claim(op, true, nil)
		f.states(b.mustSend(x.op, x.released(), y.op), backend.Queued, backend.Released, backend.Queued)
		held.release()
		y.wait()
		y.release()
		c.free(op)
	})
}

func checkWithdrawOrder(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		const n = 5
		turn := make(chan *claim, n)
		claims := f.line(n, op, turn)
		claims[2].release()
		claims[5].release()
		left := []*claim{claims[1], claims[3], claims[4]}
		claims[0].release()
		for _, want := range left {
			got := f.next(turn)
			if got == claims[2] || got == claims[5] || f.Caps.Queue && got != want {
				f.Fatalf("%v was granted out of turn", got)
			}
			got.release()
		}
		f.peer().free(op)
	})
}

func checkWithdrawGranted(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		held := a.take(op)
		waiter := b.acquire(op)
		waiter.waiting()
		held.release()
		waiter.release() // granted or about to be, and the news may still be on its way
		c.free(op)
		a.free(op)
	})
}

func checkWithdrawRace(f *fixture) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		for range rounds {
			held := a.take(op)
			waiter := b.acquire(op)
			var both sync.WaitGroup
			for _, gone := range []*claim{held, waiter} {
				both.Go(func() {
					if _, err := gone.peer.send(gone.released()); err != nil {
						f.Error(err)
					}
				})
			}
			both.Wait()
			c.free(op)
		}
	})
}
