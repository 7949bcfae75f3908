package backendtest

import (
	"sync"

	"github.com/dlock-go/dlock/backend"
)

var fencingChecks = []check{
	{"fencing/ordinals grow from grant to grant", checkOrdinals},
	{"fencing/ordinals grow within a batch", checkOrdinalsInBatch},
	{"fencing/ordinals grow from session to session", checkOrdinalsOverSessions},
	{"fencing/shared grants of one batch, and of sessions side by side, have different ordinals", checkOrdinalsDiffer},
	{"fencing/holders at the same time have different ordinals", checkOrdinalsShared},
}

// increasing fails the test when g does not have a greater ordinal than all
// before, and returns the ordinal.
func (f *fixture) increasing(last uint64, g backend.Grant) uint64 {
	f.Helper()
	if g.Ordinal <= last {
		f.Fatalf("ordinal %d came after %d", g.Ordinal, last)
	}
	return g.Ordinal
}

func checkOrdinals(f *fixture) {
	f.needs(f.Caps.Fencing, "Fencing")
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		var last uint64
		held := a.take(op)
		last = f.increasing(last, held.terms())
		for i := range 50 {
			next := []*peer{b, a}[i%2].acquire(op) // granted by an event
			held.release()
			last = f.increasing(last, next.wait())
			next.release()
			held = a.take(op) // granted by a result
			last = f.increasing(last, held.terms())
		}
	})
}

func checkOrdinalsInBatch(f *fixture) {
	f.needs(f.Caps.Fencing, "Fencing")
	// So close to one another that a clock alone does not tell them apart.
	f.forLocks(func(f *fixture, op backend.Op) {
		a := f.peer()
		var ops []backend.Op
		for range 50 {
			c := a.claim(op, false, nil)
			ops = append(ops, c.op, c.released())
		}
		var last uint64
		for i, r := range a.mustSend(ops...) {
			if i%2 == 0 {
				last = f.increasing(last, r.Grant)
			}
		}
	})
}

func checkOrdinalsOverSessions(f *fixture) {
	f.needs(f.Caps.Fencing, "Fencing")
	f.forLocks(func(f *fixture, op backend.Op) {
		var last uint64
		for range 10 {
			a := f.peer() // of a Backend of its own
			held := a.take(op)
			last = f.increasing(last, held.terms())
			a.close()
		}
		a := f.peer()
		held := a.take(op)
		last = f.increasing(last, held.terms())
		a.crash()
		f.increasing(last, f.peer().take(op).terms())
	})
}

func checkOrdinalsDiffer(f *fixture) {
	f.needs(f.Caps.Fencing, "Fencing")
	const peers, each = 4, 10
	for _, op := range []backend.Op{reader("r"), ticket("s", peers*each)} {
		var all sync.WaitGroup
		turn := make(chan *claim, peers*each)
		for range peers {
			p := f.peer()
			var ops []backend.Op
			for range each {
				ops = append(ops, p.claim(op, true, turn).op)
			}
			all.Go(func() {
				if _, err := p.send(ops...); err != nil {
					f.Error(err)
				}
			})
		}
		all.Wait()
		seen := make(map[uint64]bool)
		for range peers * each {
			ordinal := f.next(turn).terms().Ordinal
			if seen[ordinal] {
				f.Errorf("%v %q is held twice with ordinal %d", op.Class, op.Name, ordinal)
			}
			seen[ordinal] = true
		}
	}
}

func checkOrdinalsShared(f *fixture) {
	f.needs(f.Caps.Fencing, "Fencing")
	a, b := f.peer(), f.peer()
	for _, op := range []backend.Op{reader("r"), ticket("s", 10)} {
		var last uint64
		for i := range 10 {
			last = f.increasing(last, []*peer{a, b}[i%2].take(op).terms())
		}
	}
}
