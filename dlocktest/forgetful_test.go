package dlocktest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/dlocktest"
)

// A forgetful is a store that loses locks on demand: memory, behind what forgets.
type forgetful struct {
	*memory.Store
	kills bool // it ends the session with the lock

	mu       sync.Mutex
	sessions map[*forgetfulSession]bool
}

func newForgetful(kills bool) *forgetful {
	return &forgetful{Store: memory.New(), kills: kills, sessions: make(map[*forgetfulSession]bool)}
}

type forgetfulSession struct {
	backend.Session
	store *forgetful
	life  context.Context // until it is killed
	kill  context.CancelFunc

	// Guarded by store.mu.
	held    map[uint64]backend.Op
	lost    map[uint64]bool // and not told
	results []backend.Result
}

var errKilled = fmt.Errorf("%w: it was killed", backend.ErrSessionOver)

func (b *forgetful) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	inner, err := b.Store.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	s := &forgetfulSession{Session: inner, store: b, held: make(map[uint64]backend.Op), lost: make(map[uint64]bool)}
	s.life, s.kill = context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[s] = true
	return s, nil
}

// lose takes a lock away from all who hold it.
func (b *forgetful) lose(class backend.Class, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.sessions {
		for owner, op := range s.held {
			if op.Class != class || op.Name != name {
				continue
			}
			if b.kills {
				s.kill()
				s.Session.Close(context.Background())
				delete(b.sessions, s)
				break
			}
			op.Do = backend.Release
			s.Session.Apply(context.Background(), []backend.Op{op})
			delete(s.held, owner)
			s.lost[owner] = true
		}
	}
}

func (s *forgetfulSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.life.Err() != nil {
		return nil, nil, errKilled
	}
	s.results = s.results[:0]
	for _, op := range ops {
		if op.Do == backend.Release && s.lost[op.Owner] {
			delete(s.lost, op.Owner)
			s.results = append(s.results, backend.Result{State: backend.NotHeld})
			continue
		}
		results, _, err := s.Session.Apply(ctx, []backend.Op{op})
		if err != nil {
			return nil, nil, err
		}
		s.note(op, results[0].State)
		s.results = append(s.results, results[0])
	}
	return s.results, nil, nil
}

// note notes what came of an op. store.mu is held.
func (s *forgetfulSession) note(op backend.Op, state backend.State) {
	if op.Do == backend.Acquire && (state == backend.Granted || state == backend.Queued) {
		s.held[op.Owner] = op // A release of a place that waits is no loss to anybody here.
	} else {
		delete(s.held, op.Owner)
	}
}

// Recv looks now and then what was lost.
func (s *forgetfulSession) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		look, cancel := context.WithTimeout(s.life, 200*time.Millisecond)
		stop := context.AfterFunc(ctx, cancel)
		events, err := s.Session.Recv(look)
		ended := look.Err() != nil
		stop()
		cancel()
		switch {
		case s.life.Err() != nil:
			return nil, errKilled
		case ctx.Err() != nil || err != nil && !ended:
			return events, err
		}
		s.store.mu.Lock()
		for owner := range s.lost {
			if ended {
				events = append(events, backend.Event{Kind: backend.EventLost, Owner: owner})
				delete(s.lost, owner)
			}
		}
		s.store.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
	}
}

func (s *forgetfulSession) Close(ctx context.Context) error {
	s.store.mu.Lock()
	delete(s.store.sessions, s)
	s.store.mu.Unlock()
	return s.Session.Close(ctx)
}

// TestForgetful runs the suite over a store that loses single locks, and one that
// loses sessions.
func TestForgetful(t *testing.T) {
	for name, kills := range map[string]bool{"locks": false, "sessions": true} {
		t.Run(name, func(t *testing.T) {
			store := newForgetful(kills)
			dlocktest.Run(t, dlocktest.Harness{
				Backend: func(*testing.T) backend.Backend { return store },
				Lose: func(_ *testing.T, _ backend.Backend, class backend.Class, name string) {
					store.lose(class, name)
				},
			})
		})
	}
}
