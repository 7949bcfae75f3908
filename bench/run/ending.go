package run

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/bench/party"
	"github.com/dlock-go/dlock/bench/workload"
	"github.com/dlock-go/dlock/bench/world"
)

// A holder is a process that takes a lock and comes to an end.
type holder struct {
	party *party.Party
	route *world.Route
}

// befall does to a holder what an ending says.
func (h *holder) befall(e workload.Ending) error {
	switch e {
	case workload.Killed:
		return h.party.Kill()
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
		if h.route, err = s.world.Route(0); err != nil {
			return nil, err
		}
		defer h.route.Cut()
		if h.party, err = party.Start(ctx, t.contestant, h.route.World, ""); err != nil {
			return nil, err
		}
		defer h.party.Close()
		j.Party = i + 1
		if err := h.party.Tell(j); err != nil {
			return nil, err
		}
		if _, err := h.party.Await(patience); err != nil {
			return nil, fmt.Errorf("a holder: %w", err)
		}
	}
	j.Party, j.Size, j.Start = 0, len(holders), world.Now().Add(prelude)
	if err := t.parties[0].Tell(j); err != nil {
		return nil, err
	}
	j.Start.Sleep()
	when := make([]world.Instant, len(holders))
	for i, h := range holders {
		when[i] = world.Now()
		if err := h.befall(endings[i]); err != nil {
			return nil, err
		}
	}
	waited, err := t.parties[0].Await(s.effort.Length + patience)
	if err != nil {
		return nil, err
	}
	return workload.Freed(waited, endings, when)
}
