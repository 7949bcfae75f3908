package backendtest_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
)

// A bent is a driver with a bug: memory behind a lens. What is nil is not bent.
type bent struct {
	*memory.Store
	op      func(s *bentSession, op *backend.Op)                        // before it is applied
	result  func(s *bentSession, op backend.Op, result *backend.Result) // after it was
	event   func(s *bentSession, event *backend.Event) (keep bool)      // before it is received
	batch   func(s *bentSession, ops []backend.Op) []backend.Op         // before it is applied
	open    func(ctx context.Context) context.Context
	close   func(s *bentSession) (skip bool)
	inspect func(holders, waiters []backend.Participant) ([]backend.Participant, []backend.Participant)
	reverse bool // the order of a batch
	recv    func(ctx context.Context) context.Context

	mu       sync.Mutex
	sessions int
	holder   map[string]*bentSession // by name, of the last grant
	owner    map[string]uint64       // by name, of the last grant
}

type bentSession struct {
	backend.Session
	*bent
	first bool                  // of its store
	held  map[string]int        // by name, how often it was granted at once
	waits map[uint64]bool       // by owner, whether it was ever queued
	asked map[uint64]backend.Op // by owner that was ever queued
	turns int
}

func (b *bent) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	if b.open != nil {
		ctx = b.open(ctx)
	}
	s, err := b.Store.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions++
	return &bentSession{Session: s, bent: b, first: b.sessions == 1, held: make(map[string]int), waits: make(map[uint64]bool), asked: make(map[uint64]backend.Op)}, nil
}

func (b *bent) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	holders, waiters, err = b.Store.Inspect(ctx, class, name)
	if b.inspect != nil {
		holders, waiters = b.inspect(holders, waiters)
	}
	return holders, waiters, err
}

func (s *bentSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bentOps := slices.Clone(ops)
	for i := range bentOps {
		if s.bent.op != nil {
			s.bent.op(s, &bentOps[i])
		}
	}
	if s.batch != nil {
		bentOps = s.batch(s, bentOps)
	}
	if s.reverse {
		slices.Reverse(bentOps)
	}
	results, leases, err := s.Session.Apply(ctx, bentOps)
	if s.reverse {
		slices.Reverse(results)
	}
	for i := range results {
		if s.result != nil {
			s.result(s, ops[i], &results[i])
		}
		switch results[i].State {
		case backend.Queued:
			s.waits[ops[i].Owner], s.asked[ops[i].Owner] = true, ops[i]
		case backend.Granted:
			s.holder[ops[i].Name], s.owner[ops[i].Name] = s, ops[i].Owner
			s.held[ops[i].Name]++
		}
	}
	return results, leases, err
}

func (s *bentSession) Recv(ctx context.Context) ([]backend.Event, error) {
	if s.recv != nil {
		ctx = s.recv(ctx)
	}
	for {
		events, err := s.Session.Recv(ctx)
		if err != nil || s.event == nil {
			return events, err
		}
		kept := events[:0]
		for _, e := range events {
			if s.event(s, &e) {
				kept = append(kept, e)
			}
		}
		if len(kept) > 0 {
			return kept, nil
		}
	}
}

func (s *bentSession) Close(ctx context.Context) error {
	if s.close != nil && s.close(s) {
		return nil
	}
	return s.Session.Close(ctx)
}
