package backendtest

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

var contendedChecks = []check{
	{"contended/a holder is told when another session begins to wait", checkContendedEvent},
	{"contended/every holder of a shared lock is told", checkContendedHolders},
	{"contended/a grant tells whether another session waits", checkContendedGrant},
	{"contended/waiters of the same session do not count", checkContendedOwn},
}

// hears waits until c is told that another session waits.
func (c *claim) hears() {
	c.peer.f.Helper()
	select {
	case <-c.told:
	case <-time.After(c.peer.f.Patience):
		c.peer.f.Fatalf("%v was not told that another session waits", c)
	}
}

func checkContendedEvent(f *fixture) {
	f.needs(f.Caps.Contended, "Contended")
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := a.take(op)
		if held.terms().Contended {
			f.Error("contended, though nobody waits")
		}
		b.acquire(op)
		held.hears()
	})
}

func checkContendedHolders(f *fixture) {
	f.needs(f.Caps.Contended, "Contended")
	for _, ops := range [][2]backend.Op{{reader("r"), writer("r")}, {ticket("s", 3), ticket("s", 3)}} {
		a, b, c := f.peer(), f.peer(), f.peer()
		holders := []*claim{a.take(ops[0]), a.take(ops[0]), b.take(ops[0])}
		waiter := c.acquire(ops[1])
		for _, h := range holders {
			h.hears()
		}
		for _, h := range holders {
			h.release()
		}
		waiter.wait()
	}
}

func checkContendedGrant(f *fixture) {
	f.needs(f.Caps.Contended, "Contended")
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		held := a.take(op)
		second, third := b.acquire(op), c.acquire(op)
		third.waiting()
		held.release()
		turns := [][2]*claim{{second, third}, {third, second}}
		order := turns[0]
		select {
		case <-second.turn:
		case <-third.turn:
			order = turns[1]
		case <-time.After(f.Patience):
			f.Fatal("nothing was granted")
		}
		// An event or the grant: one of them has to say it.
		order[0].hears()
		order[0].release()
		order[1].wait()
		// Where there is no one queue, a part of the store may not have heard of it yet.
		if order[1].terms().Contended && f.Caps.Queue {
			f.Error("contended, though nobody waits any more")
		}
	})
}

func checkContendedOwn(f *fixture) {
	f.needs(f.Caps.Contended, "Contended")
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := a.take(op)
		second := a.acquire(op)
		second.waiting()
		held.holding() // by now it would have been told
		select {
		case <-held.told:
			f.Error("told of a waiter of its own session")
		default:
		}
		third := b.acquire(op)
		held.hears()
		third.release()
		held.release()
		second.wait()
	})
}
