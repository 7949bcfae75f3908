package backendtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A randomWorker is one process of a schedule. It never waits for a lock for long
// while it holds one, so there is no deadlock.
type randomWorker struct {
	f      *fixture
	random *rand.Rand
	locks  []*history
	turn   chan *claim
	peer   *peer
	visits []*visit // that are not over
}

// A visit is a claim of a randomWorker on its way through a lock.
type visit struct {
	claim  *claim
	lock   *history
	floor  uint64
	inside bool
}

func (w *randomWorker) wander(steps int) (err error) {
	for range steps {
		if w.peer == nil {
			if w.peer, err = w.f.connect(w.f.open(), backend.ClientInfo{}); err != nil {
				return err
			}
		}
		switch n := w.random.IntN(100); {
		case n < 45:
			err = w.ask()
		case n < 80:
			err = w.part()
		case n < 97:
			err = w.rest()
		default:
			w.quit()
		}
		if err != nil {
			return err
		}
		for len(w.turn) > 0 {
			if err := w.enter(<-w.turn); err != nil {
				return err
			}
		}
	}
	w.quit()
	return nil
}

// ask sends a batch of acquires and tries.
func (w *randomWorker) ask() error {
	var ops []backend.Op
	known := len(w.visits)
	for range 1 + w.random.IntN(3) {
		lock := w.locks[w.random.IntN(len(w.locks))]
		op := lock.op
		if lock.readers && w.random.IntN(3) > 0 {
			op.Mode = backend.Shared
		}
		c := w.peer.claim(op, w.random.IntN(3) > 0, w.turn)
		w.visits = append(w.visits, &visit{claim: c, lock: lock, floor: lock.floor()})
		ops = append(ops, c.op)
	}
	results, err := w.peer.send(ops...)
	if err != nil {
		return err
	}
	asked := w.visits[known:]
	w.visits = w.visits[:known]
	for i, r := range results {
		switch r.State {
		case backend.Failed:
			return fmt.Errorf("%v %q: %w", ops[i].Class, ops[i].Name, r.Err)
		case backend.Granted, backend.Queued:
			w.visits = append(w.visits, asked[i])
		}
	}
	return nil
}

// part releases some of what is held and withdraws some of what is awaited.
func (w *randomWorker) part() error {
	var ops []backend.Op
	w.visits = slices.DeleteFunc(w.visits, func(v *visit) bool {
		over := w.random.IntN(2) == 0
		if over {
			v.leave()
			ops = append(ops, v.claim.released())
		}
		return over
	})
	_, err := w.peer.send(ops...)
	return err
}

// rest waits a little for a grant.
func (w *randomWorker) rest() error {
	select {
	case c := <-w.turn:
		return w.enter(c)
	case <-time.After(time.Duration(w.random.IntN(2000)) * time.Microsecond):
		return nil
	}
}

// quit closes the session with all that it has.
func (w *randomWorker) quit() {
	for _, v := range w.visits {
		v.leave()
	}
	w.visits = nil
	if w.peer != nil {
		w.peer.close()
		w.peer = nil
	}
}

// enter begins the hold of a claim that was granted.
func (w *randomWorker) enter(c *claim) error {
	for _, v := range w.visits {
		if v.claim == c {
			v.inside = true
			return v.lock.enter(c.op.Mode, c.terms(), v.floor)
		}
	}
	return nil // it was granted while it was withdrawn
}

// leave ends the hold, if there was one.
func (v *visit) leave() {
	if v.inside {
		v.lock.leave(v.claim.op.Mode)
	}
}
