package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/dlock-go/dlock/backend"
)

// A session is one party to the locks of a store.
type session struct {
	// Immutable.
	store *Store
	who   backend.Party
	wake  chan struct{} // holds one: sent when events begin to wait, received by Recv
	done  chan struct{} // closed by Close

	// Guarded by store.mu.
	claims map[uint64]*claim // by owner
	events []backend.Event   // not yet received
	closed bool

	// Owned by the caller of Apply and by that of Recv.
	results  []backend.Result
	received []backend.Event
}

// Apply never waits, so that ctx has nothing to cut short.
func (s *session) Apply(_ context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.results = slices.Grow(s.results[:0], len(ops))[:len(ops)]
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.closed {
		return nil, nil, backend.ErrClosed
	}
	for i := range ops {
		s.results[i] = s.apply(&ops[i])
	}
	return s.results, nil, nil
}

func (s *session) apply(op *backend.Op) backend.Result {
	switch op.Do {
	case backend.Acquire:
		return s.store.acquire(s, op)
	case backend.Release:
		if c := s.claims[op.Owner]; c != nil {
			s.store.release(c)
		}
		return backend.Result{State: backend.Released}
	}
	return backend.Result{State: backend.Failed, Err: backend.ErrUnsupported}
}

// Recv waits for events.
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		events, err := s.receive()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-s.wake:
		case <-s.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// receive takes the events that wait. The slice that it took before is used
// for those to come.
func (s *session) receive() ([]backend.Event, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.closed {
		return nil, backend.ErrClosed
	}
	s.received, s.events = s.events, s.received[:0]
	for _, e := range s.received {
		if c := s.claims[e.Owner]; c != nil && e.Kind == backend.EventContended {
			c.told = false
		}
	}
	return s.received, nil
}

// send passes an event to Recv, and never waits for it. store.mu is held.
func (s *session) send(e backend.Event) {
	s.events = append(s.events, e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close gives everything back. It never waits, so that ctx has nothing to cut
// short.
func (s *session) Close(context.Context) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.done)
	// Places first: a hold given back must not be granted to this very session.
	owners := slices.Sorted(maps.Keys(s.claims))
	for _, held := range []bool{false, true} {
		for _, owner := range owners {
			if c := s.claims[owner]; c != nil && c.held() == held {
				s.store.release(c)
			}
		}
	}
	s.events = nil
	return nil
}
