package coordinator_test

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
)

// A leasing is a store in memory whose sessions have leases, as the drivers for
// servers have them.
type leasing struct {
	*memory.Store
	of   lessor
	slow atomic.Int64 // by how many nanoseconds answers are late
	fail atomic.Value // why batches with operations fail, as a reason

	mu       sync.Mutex
	sessions map[*leasedSession]bool
}

// A reason is an error or nil.
type reason struct{ err error }

// A lessor is the way in which a driver has its holds depend on leases.
type lessor uint8

const (
	oneNode  lessor = iota + 1 // one lease a session
	cluster                    // one for each bucket, which lapses when it is idle
	quorum                     // one for each set of nodes, among which holds move
	postgres                   // one for the session, and one for each lock that was waited for
)

func (l lessor) String() string {
	return [...]string{oneNode: "node", cluster: "cluster", quorum: "quorum", postgres: "postgres"}[l]
}

func newLeasing(of lessor) *leasing {
	return &leasing{Store: memory.New(), of: of, sessions: make(map[*leasedSession]bool)}
}

func (l *leasing) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := l.Store.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	ls := &leasedSession{Session: s, store: l, ttl: ttl, until: make(map[uint32]time.Time), on: make(map[uint64]uint32), held: make(map[uint32]int), waits: make(map[uint64]bool), buckets: make(map[uint64]uint32)}
	ls.life, ls.kill = context.WithCancelCause(context.Background())
	l.mu.Lock()
	l.sessions[ls] = true
	l.mu.Unlock()
	return ls, nil
}

// cut ends all sessions, with what they hold.
func (l *leasing) cut(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.sessions {
		s.kill(why)
	}
}

// say has all sessions receive an event.
func (l *leasing) say(e backend.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.sessions {
		s.mu.Lock()
		s.events = append(s.events, e)
		if s.wake != nil {
			s.wake()
		}
		s.mu.Unlock()
	}
}

type leasedSession struct {
	backend.Session
	store *leasing
	ttl   time.Duration
	life  context.Context
	kill  context.CancelCauseFunc

	mu      sync.Mutex
	last    uint32               // lease
	until   map[uint32]time.Time // of those that are alive
	on      map[uint64]uint32    // lease by owner
	held    map[uint32]int       // owners by lease
	waits   map[uint64]bool      // owners
	buckets map[uint64]uint32    // lease by bucket
	moved   time.Time
	events  []backend.Event // of holds that have moved
	wake    func()          // has Recv look at events
}

var bucketSeed = maphash.MakeSeed()

// lease returns the lease for a grant.
func (s *leasedSession) lease(op *backend.Op, pushed bool, now time.Time) backend.Lease {
	id, ok := s.on[op.Owner]
	if !ok {
		bucket := uint64(0)
		switch s.store.of {
		case cluster:
			bucket = maphash.String(bucketSeed, op.Name) % 16
		case postgres:
			if pushed {
				bucket = 1 << 60
			}
		}
		id, ok = s.buckets[bucket]
		if _, alive := s.until[id]; !ok || !alive || bucket == 1<<60 {
			s.last++
			id = s.last
			s.buckets[bucket] = id
		}
		s.on[op.Owner] = id
		s.held[id]++
	}
	s.until[id] = now.Add(s.ttl)
	return backend.Lease{ID: id, Until: s.until[id]}
}

// free takes out an owner that has released.
func (s *leasedSession) free(owner uint64) {
	delete(s.waits, owner)
	id, ok := s.on[owner]
	if !ok {
		return
	}
	delete(s.on, owner)
	if s.held[id]--; s.held[id] == 0 {
		delete(s.held, id)
	}
}

// renew renews what something depends on, and forgets what has passed.
func (s *leasedSession) renew(now time.Time) (leases []backend.Lease) {
	for id, until := range s.until {
		switch {
		case s.held[id] > 0 || s.store.of == oneNode:
			s.until[id] = now.Add(s.ttl)
			leases = append(leases, backend.Lease{ID: id, Until: s.until[id]})
		case until.Before(now):
			delete(s.until, id)
		}
	}
	if s.store.of == quorum && now.Sub(s.moved) > time.Hour {
		// Another set of nodes: all holds move.
		s.moved = now
		s.last++
		s.until[s.last] = now.Add(s.ttl)
		s.buckets[0] = s.last
		clear(s.held)
		s.held[s.last] = len(s.on)
		for owner := range s.on {
			s.on[owner] = s.last
			s.events = append(s.events, backend.Event{Kind: backend.EventGranted, Owner: owner, Grant: backend.Grant{Lease: backend.Lease{ID: s.last, Until: s.until[s.last]}}})
		}
		if len(s.events) > 0 && s.wake != nil {
			s.wake()
		}
	}
	return leases
}

func (s *leasedSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	if err := context.Cause(s.life); err != nil {
		return nil, nil, err
	}
	if why, _ := s.store.fail.Load().(reason); len(ops) > 0 && why.err != nil {
		return nil, nil, why.err
	}
	now := time.Now() // Before anything is sent.
	s.mu.Lock()
	for i := range ops {
		if ops[i].Do == backend.Acquire {
			s.waits[ops[i].Owner] = true // Its grant may overtake the answer.
		}
	}
	s.mu.Unlock()
	results, _, err := s.Session.Apply(ctx, ops)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	for i := range ops {
		if ops[i].Do == backend.Release {
			s.free(ops[i].Owner)
			continue
		}
		if results[i].State == backend.Granted {
			results[i].Grant.Lease = s.lease(&ops[i], false, now)
		}
	}
	leases := s.renew(now)
	s.mu.Unlock()
	if slow := s.store.slow.Load(); slow > 0 {
		select {
		case <-time.After(time.Duration(slow)):
		case <-ctx.Done():
		}
	}
	return results, leases, nil
}

func (s *leasedSession) Recv(ctx context.Context) ([]backend.Event, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	s.mu.Lock()
	s.wake = cancel
	moved := len(s.events) > 0
	s.mu.Unlock()
	var events []backend.Event
	var err error
	if !moved {
		events, err = s.Session.Recv(inner)
	}
	if dead := context.Cause(s.life); dead != nil {
		return nil, dead
	}
	if err != nil && (ctx.Err() != nil || inner.Err() == nil) {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		// One that was released since is none of the session's concern.
		if e := &events[i]; e.Kind == backend.EventGranted && s.waits[e.Owner] {
			e.Grant.Lease = s.lease(&backend.Op{Owner: e.Owner}, true, time.Now())
		}
	}
	events = append(s.events, events...)
	s.events = nil
	return events, nil
}

func (s *leasedSession) Close(ctx context.Context) error {
	s.kill(backend.ErrClosed)
	s.store.mu.Lock()
	delete(s.store.sessions, s)
	s.store.mu.Unlock()
	return s.Session.Close(ctx)
}
