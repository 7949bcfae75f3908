package file_test

import (
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// As many writers in a row as are allowed pass the readers that wait, and no more;
// then all of those readers go, but none that came later.
func TestTurnOfReaders(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	holder := p.lock(t, write("x"))
	var readers, writers []*acquisition
	for range 3 {
		readers = append(readers, p.queue(read("x")).is(t, backend.Queued))
	}
	for range 2*backend.MaxWriters + 3 {
		writers = append(writers, open(t, dir).queue(write("x")).is(t, backend.Queued))
	}
	next := func(a *acquisition) *acquisition {
		t.Helper()
		must(t, a.wait())
		return a
	}
	for i := range backend.MaxWriters {
		must(t, holder.release())
		for _, r := range readers { // whether rung or not
			r.again()
			r.is(t, backend.Queued)
		}
		holder = next(writers[i])
	}
	late := open(t, dir).queue(read("x")).is(t, backend.Queued)
	must(t, holder.release())
	rest := writers[backend.MaxWriters:]
	for _, w := range rest {
		w.again()
		w.is(t, backend.Queued)
	}
	for i, r := range readers {
		late.again()
		late.is(t, backend.Queued)
		if i == 1 { // a withdrawal leaves the turn to the others
			must(t, r.release())
			continue
		}
		next(r)
	}
	late.again()
	late.is(t, backend.Queued)
	open(t, dir).try(read("x")).is(t, backend.Busy)
	must(t, readers[0].release())
	rest[0].again()
	rest[0].is(t, backend.Queued)
	must(t, readers[2].release())
	// The late reader has its turn after as many writers again.
	for i := range backend.MaxWriters {
		holder = next(rest[i])
		late.again()
		late.is(t, backend.Queued)
		must(t, holder.release())
	}
	rest[backend.MaxWriters].again()
	rest[backend.MaxWriters].is(t, backend.Queued)
	next(late)
}

// Writers that have passed readers do not count any more when those have got in, since no
// writer waited for a moment: who comes later has its turn after as many as ever.
func TestTurnIsCountedAnew(t *testing.T) {
	dir := t.TempDir()
	p, q, other := open(t, dir), open(t, dir), open(t, dir)
	holder := p.lock(t, write("x"))
	first := other.queue(read("x")).is(t, backend.Queued)
	for range backend.MaxWriters - 1 {
		w := q.queue(write("x")).is(t, backend.Queued)
		must(t, holder.release())
		must(t, w.wait())
		p, q, holder = q, p, w
	}
	must(t, holder.release())
	must(t, first.wait())

	w := p.queue(write("x")).is(t, backend.Queued)
	late := other.queue(read("x")).is(t, backend.Queued)
	next := q.queue(write("x")).is(t, backend.Queued)
	must(t, first.release())
	must(t, w.wait())
	must(t, w.release())
	late.again()
	late.is(t, backend.Queued)
	must(t, next.wait())
	must(t, next.release())
	must(t, late.wait())
}

// Who waits only because of a writer that has left is told so.
func TestWriterWithdraws(t *testing.T) {
	dir := t.TempDir()
	p, q := open(t, dir), open(t, dir)
	p.lock(t, read("x"))
	w := q.queue(write("x")).is(t, backend.Queued)
	r := p.queue(read("x")).is(t, backend.Queued)
	s := open(t, dir).queue(read("x")).is(t, backend.Queued)
	must(t, w.release())
	must(t, r.wait())
	must(t, s.wait())
}
