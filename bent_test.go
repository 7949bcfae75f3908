package dlock_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// bent is a store whose answers a test bends.
type bent struct {
	backend.Backend
	refuse func(op backend.Op) error              // if set, why an op has Failed before it took effect, or nil
	answer func(op backend.Op, r *backend.Result) // if set, changes the result of an op
	asked  atomic.Int64                           // Acquires
}

func (b *bent) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := b.Backend.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	return &bentSession{s, b}, nil
}

type bentSession struct {
	backend.Session
	b *bent
}

func (s *bentSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	refused := make([]error, len(ops))
	var passed []backend.Op
	for i, op := range ops {
		if op.Do == backend.Acquire {
			s.b.asked.Add(1)
		}
		if s.b.refuse != nil {
			refused[i] = s.b.refuse(op)
		}
		if refused[i] == nil {
			passed = append(passed, op)
		}
	}
	answers, leases, err := s.Session.Apply(ctx, passed)
	if err != nil {
		return nil, nil, err
	}
	results := make([]backend.Result, len(ops))
	for i, op := range ops {
		if refused[i] != nil {
			results[i] = backend.Result{State: backend.Failed, Err: refused[i]}
			continue
		}
		results[i], answers = answers[0], answers[1:]
		if s.b.answer != nil {
			s.b.answer(op, &results[i])
		}
	}
	return results, leases, nil
}
