package backendtest

import "github.com/dlock-go/dlock/backend"

var rwChecks = []check{
	{"rwmutex/readers overlap", checkReadersOverlap},
	{"rwmutex/a writer waits for the last reader", checkWriterExcludes},
	{"rwmutex/a waiting writer keeps new readers out", checkWriterKeepsOut},
	{"rwmutex/a writer that goes lets the readers in", checkWriterWithdraws},
	{"rwmutex/waiting writers go first", checkWritersFirst},
	{"rwmutex/MaxWriters pass a waiting reader, and no more", checkMaxWriters},
	{"rwmutex/readers have their turn together", checkReadersTogether},
}

func checkReadersOverlap(f *fixture) {
	a, b, c := f.peer(), f.peer(), f.peer()
	var claims []*claim
	for _, p := range []*peer{a, b, a, b} {
		r := p.try(reader("r"))
		if r == nil {
			f.Fatal("a reader is busy beside readers")
		}
		claims = append(claims, r)
	}
	for _, r := range claims {
		c.busy(writer("r"))
		r.holding()
		r.release()
	}
	c.free(writer("r"))
}

func checkWriterExcludes(f *fixture) {
	a, b, c := f.peer(), f.peer(), f.peer()
	first, last := a.take(reader("r")), b.take(reader("r"))
	w := c.acquire(writer("r"))
	w.waiting()
	first.release()
	w.waiting()
	last.release()
	w.wait()
	a.busy(reader("r"))
	a.busy(writer("r"))
	r := a.acquire(reader("r"))
	r.waiting()
	w.release()
	r.wait()
	b.busy(writer("r"))
}

func checkWriterKeepsOut(f *fixture) {
	a, b, c := f.peer(), f.peer(), f.peer()
	held := a.take(reader("r"))
	w := b.acquire(writer("r"))
	w.waiting()
	for _, p := range []*peer{a, b, c} {
		p.busy(reader("r"))
	}
	r := c.acquire(reader("r"))
	r.waiting()
	held.holding()
	held.release()
	w.wait() // before the reader, which came later
	r.waiting()
	w.release()
	r.wait()
}

func checkWriterWithdraws(f *fixture) {
	a, b, c := f.peer(), f.peer(), f.peer()
	held := a.take(reader("r"))

	w := b.acquire(writer("r"))
	r := c.acquire(reader("r"))
	r.waiting()
	w.release()
	r.wait()

	dying := f.peer()
	dying.acquire(writer("r")).waiting()
	r2 := c.acquire(reader("r"))
	r2.waiting()
	dying.crash()
	r2.wait()
	held.holding()
}

func checkWritersFirst(f *fixture) {
	a, b, c := f.peer(), f.peer(), f.peer()
	turn := make(chan *claim, 2)
	held := a.take(writer("r"))
	r := b.acquireInto(turn, reader("r"))
	r.waiting()
	w := c.acquireInto(turn, writer("r"))
	w.waiting()
	held.release()
	if f.next(turn) != w {
		f.Fatal("a reader went before a writer that waited when a writer released")
	}
	r.waiting()
	w.release()
	if f.next(turn) != r {
		f.Fatal("the reader was not next")
	}
}

func checkMaxWriters(f *fixture) {
	const writers = 2 * backend.MaxWriters
	least, most := backend.MaxWriters, backend.MaxWriters
	if f.AboutWriters {
		least, most = most/4, most*3/2
	}
	a, b, c := f.peer(), f.peer(), f.peer()
	turn := make(chan *claim, writers+1)
	held := a.take(writer("r"))
	r := b.acquireInto(turn, reader("r"))
	r.waiting()
	for i := range writers {
		w := []*peer{a, c}[i%2].acquireInto(turn, writer("r"))
		w.waiting()
	}
	for passed := 0; ; passed++ {
		held.release()
		held = f.next(turn)
		if held == r {
			if passed < least {
				f.Errorf("a reader went before writers that waited when %d had passed it; at %d it is its turn", passed, least)
			}
			break
		}
		if passed == most {
			f.Fatalf("more than %d writers passed a waiting reader", most)
		}
	}
	// The turn of the readers does not last: the other writers wait on.
	b.busy(reader("r"))
	late := b.acquireInto(turn, reader("r"))
	held.release()
	if f.next(turn) == late {
		f.Fatal("a new reader went before the writers that waited")
	}
}

func checkReadersTogether(f *fixture) {
	const readers = 5
	a := f.peer()
	turn := make(chan *claim, readers)
	held := a.take(writer("r"))
	for range readers {
		f.peer().acquireInto(turn, reader("r")).waiting()
	}
	held.release()
	var claims []*claim
	for range readers {
		claims = append(claims, f.next(turn)) // though none is released
	}
	a.busy(writer("r"))
	for _, r := range claims {
		r.release()
	}
	a.free(writer("r"))
}
