package check

import (
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/dlock-go/dlock/backend"
)

// An action is an operation of porcupine: somebody enters or leaves a lock.
type action struct {
	enter bool
	mode  backend.Mode
}

// inside is the state of a lock: who is in it.
type inside struct{ writers, others int }

// model is a lock as a sequential object. A loss is a departure at any time
// between the grant and the end of the hold; that it was allowed at that time is
// for the sweep to judge, which knows deadlines.
func model(class backend.Class, limit int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return inside{} },
		Step: func(state, input, _ any) (bool, any) {
			s, a := state.(inside), input.(action)
			switch {
			case !a.enter && class == backend.RWMutex && a.mode == backend.Exclusive:
				return s.writers > 0, inside{s.writers - 1, s.others}
			case !a.enter:
				return s.others > 0, inside{s.writers, s.others - 1}
			case class == backend.Semaphore:
				return s.others < limit, inside{0, s.others + 1}
			case class == backend.Mutex:
				return s.others == 0, inside{0, 1}
			case a.mode == backend.Exclusive:
				return s.writers+s.others == 0, inside{1, 0}
			default:
				return s.writers == 0, inside{0, s.others + 1}
			}
		},
	}
}

// linearizeFor bounds how long porcupine may look at one name.
const linearizeFor = 20 * time.Second

// linearize has porcupine look for an order of all calls that explains what they
// returned. Its findings count for 1, 4 and 5.
func (h *history) linearize(v *Verdict) {
	number := map[backend.Class]int{backend.Mutex: 1, backend.RWMutex: 4, backend.Semaphore: 5}[h.Class]
	i := &v.Invariants[number]
	if i.Violations > 0 {
		return // The search for an order that there is not takes all the memory there is.
	}
	m := model(h.Class, h.Limit)
	var mu sync.Mutex
	var looking sync.WaitGroup
	turns := make(chan struct{}, 2)
	for name := range h.names {
		looking.Add(1)
		go h.order1(name, m, turns, func(n int, r porcupine.CheckResult) {
			mu.Lock()
			defer mu.Unlock()
			defer looking.Done()
			switch r {
			case porcupine.Ok:
				v.Linearized += n
			case porcupine.Unknown:
				v.Undecided++
			case porcupine.Illegal:
				i.violate("name %d: no order of the %d calls explains their results", name, n)
			}
		})
	}
	looking.Wait()
}

func (h *history) order1(name int, m porcupine.Model, turns chan struct{}, found func(int, porcupine.CheckResult)) {
	turns <- struct{}{}
	defer func() { <-turns }()
	var ops []porcupine.Operation
	end := h.Drain + int64(time.Hour)
	for _, o := range h.names[name] {
		if o.end <= o.granted {
			continue
		}
		ops = append(ops, porcupine.Operation{Input: action{true, o.mode}, Call: o.call, Return: o.granted})
		out := porcupine.Operation{Input: action{false, o.mode}, Call: o.release, Return: o.released}
		if !o.confirmed || o.taken || min(o.signal, o.lost, o.deadline, o.process.killedBy()) <= o.release {
			// It may have ended at any time, and must have at its end, but for a
			// process that was killed or a release that nobody confirmed.
			out.Call, out.Return = o.granted+1, end
		}
		ops = append(ops, out)
	}
	if len(ops) == 0 {
		found(0, porcupine.Ok)
		return
	}
	found(len(ops), porcupine.CheckOperationsTimeout(m, ops, linearizeFor))
}
