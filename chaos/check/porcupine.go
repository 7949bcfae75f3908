package check

import (
	"slices"
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

const (
	// linearizeFor bounds how long porcupine may look at one stretch.
	linearizeFor = 20 * time.Second
	// stretch is how many holds porcupine is shown at a time. What it remembers grows
	// with their square.
	stretch = 5000
)

// linearize has porcupine look for an order of all calls that explains what they
// returned. Its findings count for 1, 4 and 5.
func (h *history) linearize(v *Verdict) {
	number := map[backend.Class]int{backend.Mutex: 1, backend.RWMutex: 4, backend.Semaphore: 5}[h.Class]
	i := &v.Invariants[number]
	if i.Violations > 0 {
		return // It takes long, and much memory, to see that there is no order.
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

// order1 looks at the history of a name in stretches. A stretch has the holds that
// began in it, and those that may not have ended when it began: whatever excludes each
// other is in one of them together, and to leave out the others forbids no order.
func (h *history) order1(name int, m porcupine.Model, turns chan struct{}, found func(int, porcupine.CheckResult)) {
	turns <- struct{}{}
	defer func() { <-turns }()
	type hold struct{ in, out porcupine.Operation }
	var holds []hold // by grant
	end := h.Drain + int64(time.Hour)
	for _, o := range h.names[name] {
		if o.end <= o.granted {
			continue
		}
		in := porcupine.Operation{Input: action{true, o.mode}, Call: o.call, Return: o.granted}
		out := porcupine.Operation{Input: action{false, o.mode}, Call: o.release, Return: o.released}
		if !o.confirmed || o.taken || min(o.signal, o.lost, o.deadline, o.process.killedBy()) <= o.release {
			// It may have ended at any time, and must have at its end, but for a
			// process that was killed or a release that nobody confirmed.
			out.Call, out.Return = o.granted+1, end
		}
		holds = append(holds, hold{in, out})
	}
	total := 0
	var open []hold // those that may not have ended
	for part := range slices.Chunk(holds, stretch) {
		open = slices.DeleteFunc(open, func(o hold) bool { return o.out.Return < part[0].in.Return })
		open = append(open, part...)
		ops := make([]porcupine.Operation, 0, 2*len(open))
		for _, o := range open {
			ops = append(ops, o.in, o.out)
		}
		if r := porcupine.CheckOperationsTimeout(m, ops, linearizeFor); r != porcupine.Ok {
			found(len(ops), r)
			return
		}
		total += 2 * len(part)
	}
	found(total, porcupine.Ok)
}
