package run

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/bench/process"
	"github.com/dlock-go/dlock/bench/testbed"
	"github.com/dlock-go/dlock/bench/workload"
)

// A holder is a process that takes a lock and comes to an end.
type holder struct {
	process *process.Process
	route   *testbed.Route
}

// befall does to a holder what an ending says.
func (h *holder) befall(e workload.Ending) error {
	switch e {
	case workload.Killed:
		return h.process.Kill()
	case workload.Cut:
		h.route.Cut()
	case workload.Silent:
		h.route.Silence()
	}
	return nil
}

// prelude is for who waits to have begun.
const prelude = 500 * time.Millisecond

// ending is a round in which processes that hold locks come to their ends, all at
// once, while another one waits for the locks.
func (s *stage) ending(ctx context.Context, t *team, j workload.Job) (workload.Figures, error) {
	var endings []workload.Ending
	for _, e := range s.workload.Endings {
		if e.Befalls(t.contestant.Store) {
			endings = append(endings, e)
		}
	}
	if endings == nil {
		return nil, workload.ErrNone
	}
	holders := make([]*holder, len(endings))
	for i := range holders {
		h := new(holder)
		holders[i] = h
		var err error
		if h.route, err = s.testbed.Route(0); err != nil {
			return nil, err
		}
		defer h.route.Cut()
		if h.process, err = process.Start(ctx, t.contestant, h.route.Testbed, ""); err != nil {
			return nil, err
		}
		defer h.process.Close()
		j.Process = i + 1
		if err := h.process.Tell(j); err != nil {
			return nil, err
		}
		if _, err := h.process.Await(patience); err != nil {
			return nil, fmt.Errorf("a holder: %w", err)
		}
	}
	j.Process, j.Size, j.Start = 0, len(holders), testbed.Now().Add(prelude)
	if err := t.processes[0].Tell(j); err != nil {
		return nil, err
	}
	j.Start.Sleep()
	when := make([]testbed.Instant, len(holders))
	for i, h := range holders {
		when[i] = testbed.Now()
		if err := h.befall(endings[i]); err != nil {
			return nil, err
		}
	}
	waited, err := t.processes[0].Await(s.effort.Length + patience)
	if err != nil {
		return nil, err
	}
	return workload.Freed(waited, endings, when)
}
