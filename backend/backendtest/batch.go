package backendtest

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

var batchChecks = []check{
	{"batch/ops of one batch run in order", checkBatchOrder},
	{"batch/a lock passes through many owners in one batch", checkBatchChain},
	{"batch/500 names at once", checkBatchNames},
	{"batch/one op that fails does not fail the others", checkBatchFailure},
	{"batch/20 000 ops at once", checkBatchLarge},
	{"batch/no ops are a heartbeat", checkHeartbeat},
}

func checkBatchOrder(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		first := a.take(op)

		second := a.claim(op, false, nil)
		f.states(a.mustSend(first.released(), second.op), backend.Released, backend.Granted)
		b.busy(op)

		third := a.claim(op, false, nil)
		resent := a.resent.Load()
		results := a.mustSend(third.op, second.released())
		if results[0].State == backend.Granted && a.resent.Load() > resent {
			third.release() // It was sent again behind the Release.
			results[0].State = backend.Busy
		}
		f.states(results, backend.Busy, backend.Released)
		b.free(op)
	})
}

func checkBatchChain(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		var ops []backend.Op
		var want []backend.State
		for range 20 {
			c := a.claim(op, false, nil)
			ops = append(ops, c.op, c.released())
			want = append(want, backend.Granted, backend.Released)
		}
		f.states(a.mustSend(ops...), want...)
		b.free(op)
	})
}

func checkBatchNames(f *fixture) {
	const n = 500
	a, b := f.peer(), f.peer()
	claims := make([]*claim, n)
	acquires := make([]backend.Op, n)
	releases := make([]backend.Op, n)
	tries := make([]backend.Op, n)
	for i := range n {
		op := mutex(fmt.Sprint("name ", i))
		claims[i] = a.claim(op, true, nil)
		acquires[i] = claims[i].op
		tries[i] = b.claim(op, false, nil).op
	}
	a.mustSend(acquires...)
	for _, c := range claims {
		c.wait()
	}
	for i, r := range b.mustSend(tries...) {
		if r.State != backend.Busy {
			f.Fatalf("%q is held; a try was answered by state %d", tries[i].Name, r.State)
		}
	}
	for i, c := range claims {
		releases[i] = c.released()
	}
	a.mustSend(releases...)
	for i := range tries {
		tries[i] = b.claim(mutex(tries[i].Name), false, nil).op
	}
	for i, r := range b.mustSend(tries...) {
		if r.State != backend.Granted {
			f.Fatalf("%q was released; a try was answered by state %d", tries[i].Name, r.State)
		}
	}
}

func checkBatchLarge(f *fixture) {
	const pairs = 10_000
	f.TTL *= 6 // It is not about how fast that is.
	f.Patience *= 4
	a, b := f.peer(), f.peer()
	kept := a.take(mutex("kept"))
	ops := make([]backend.Op, 0, 2*pairs)
	for i := range pairs {
		c := a.claim(mutex(fmt.Sprint("name ", i)), i%2 == 0, nil)
		ops = append(ops, c.op, c.released())
	}
	for i, r := range a.mustSend(ops...) {
		if want := []backend.State{backend.Granted, backend.Released}[i%2]; r.State != want {
			f.Fatalf("op %d of %d: state %d, error %v; want state %d", i, len(ops), r.State, r.Err, want)
		}
	}
	kept.holding()
	b.busy(mutex("kept"))
	for _, i := range []int{0, pairs / 2, pairs - 1} {
		b.free(mutex(fmt.Sprint("name ", i)))
	}
}

func checkBatchFailure(f *fixture) {
	a, b := f.peer(), f.peer()
	b.take(ticket("s", 2))
	before, wrong, after := a.claim(mutex("before"), false, nil), a.claim(ticket("s", 3), false, nil), a.claim(mutex("after"), false, nil)
	f.states(a.mustSend(before.op, wrong.op, after.op), backend.Granted, backend.Failed, backend.Granted)
	b.busy(mutex("before"))
	b.busy(mutex("after"))
}

func checkHeartbeat(f *fixture) {
	a, b := f.peer(), f.peer()
	held := a.take(mutex("a"))
	for range 10 {
		if results := a.mustSend(); len(results) != 0 {
			f.Fatalf("%d results for no ops", len(results))
		}
	}
	held.holding()
	b.busy(mutex("a"))
}

// states fails the test unless results have the states in want.
func (f *fixture) states(results []backend.Result, want ...backend.State) {
	f.Helper()
	got := make([]backend.State, len(results))
	for i, r := range results {
		got[i] = r.State
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.Fatalf("states %v, want %v", got, want)
	}
}
