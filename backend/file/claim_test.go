package file

import (
	"errors"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// An owner stands for one acquisition: what it has is not taken for another lock.
func TestOwnerOfAnotherLock(t *testing.T) {
	dir := t.TempDir()
	s, holder := openSession(t, dir), openSession(t, dir)
	holder.want(t, acquire(1, "held"), backend.Granted)
	read := acquire(0, "x")
	read.Class, read.Mode = backend.RWMutex, backend.Shared
	slot := acquire(0, "x")
	slot.Class, slot.Limit = backend.Semaphore, 2
	for owner, op := range []backend.Op{acquire(0, "x"), read, slot, waiting(0, "held")} {
		op.Owner = uint64(owner + 10)
		want := backend.Granted
		if op.Wait {
			want = backend.Queued
		}
		s.want(t, op, want)
		for what, bend := range map[string]func(*backend.Op){
			"name":  func(op *backend.Op) { op.Name += "y" },
			"class": func(op *backend.Op) { op.Class = op.Class%backend.Semaphore + 1 },
			"mode":  func(op *backend.Op) { op.Mode = backend.Exclusive + backend.Shared - op.Mode },
			"limit": func(op *backend.Op) { op.Limit++ },
			"all":   func(op *backend.Op) { *op = backend.Op{Do: op.Do, Owner: op.Owner} },
		} {
			bent := op
			bend(&bent)
			if r := s.do1(t, bent); r.State != backend.Failed || !errors.Is(r.Err, backend.ErrOwner) {
				t.Errorf("%v with another %s: %+v", op.Class, what, r)
			}
			s.want(t, op, want) // as before
		}
	}
}
