package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
)

// A session is one party to the locks of a store.
type session struct {
	// Immutable.
	store *Store
	who   backend.ClientInfo
	mail  *mailbox.Mailbox

	// Guarded by store.mu.
	claims map[uint64]*claim // by owner
	closed bool

	results []backend.Result // owned by the caller of Apply
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
	events, err := s.mail.Recv(ctx)
	if len(events) == 0 {
		return nil, err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for _, e := range events {
		if c := s.claims[e.Owner]; c != nil && e.Kind == backend.EventContended {
			c.told = false
		}
	}
	return events, nil
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
	// Places first: a hold given back must not be granted to this very session.
	owners := slices.Sorted(maps.Keys(s.claims))
	for _, held := range []bool{false, true} {
		for _, owner := range owners {
			if c := s.claims[owner]; c != nil && c.held() == held {
				s.store.release(c)
			}
		}
	}
	s.mail.End(backend.ErrClosed)
	return nil
}
