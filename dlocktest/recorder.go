package dlocktest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A recorder is a Backend that keeps account of what is asked of the one below it.
// It changes nothing.
type recorder struct {
	backend.Backend

	mu       sync.Mutex
	ops      []backend.Op // in the order in which they were applied, for as long as it is asked for
	keeping  bool         // ops is asked for
	accounts map[lockID]*account
	standing map[uint64]standing // of owners that are not released
}

type lockID struct {
	class backend.Class
	name  string
}

// An account is what was asked of the store about one lock.
type account struct {
	acquires, releases int  // ops
	holding            int  // owners that hold
	waiting            int  // owners in the store's queue
	most               int  // owners that ever waited at the same time
	contended          bool // the store has told that another session waits
}

// standing is where an owner stands with the store.
type standing uint8

const (
	waits standing = iota + 1
	holds
)

func newRecorder(b backend.Backend) *recorder {
	return &recorder{Backend: b, accounts: make(map[lockID]*account), standing: make(map[uint64]standing)}
}

// Open opens a session and keeps account of it.
func (l *recorder) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := l.Backend.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	return &recordedSession{Session: s, recorder: l, locks: make(map[uint64]lockID)}, nil
}

// account returns a copy of the account of a lock.
func (l *recorder) account(class backend.Class, name string) account {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[lockID{class, name}]; a != nil {
		return *a
	}
	return account{}
}

// keep has the recorder keep the ops themselves from now on.
func (l *recorder) keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops, l.keeping = nil, true
}

// kept returns the ops since keep.
func (l *recorder) kept() []backend.Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ops)
}

// balanced reports whether nothing is held and nobody waits.
func (l *recorder) balanced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.standing) == 0
}

// of returns the account of a lock. l.mu is held.
func (l *recorder) of(id lockID) *account {
	a := l.accounts[id]
	if a == nil {
		a = new(account)
		l.accounts[id] = a
	}
	return a
}

// stand notes where an owner stands; 0 is nowhere. l.mu is held.
func (l *recorder) stand(owner uint64, id lockID, now standing) {
	a, before := l.of(id), l.standing[owner]
	if before == holds && now == waits {
		return // The grant has overtaken the answer.
	}
	a.count(before, -1)
	a.count(now, +1)
	a.most = max(a.most, a.waiting)
	if now == 0 {
		delete(l.standing, owner)
	} else {
		l.standing[owner] = now
	}
}

func (a *account) count(s standing, n int) {
	switch s {
	case waits:
		a.waiting += n
	case holds:
		a.holding += n
	}
}

// contend notes whether another session waits. l.mu is held.
func (l *recorder) contend(id lockID, contended bool) {
	if contended {
		l.of(id).contended = true
	}
}

// A recordedSession is a session under account.
type recordedSession struct {
	backend.Session
	recorder *recorder
	locks    map[uint64]lockID // of its owners; guarded by recorder.mu
}

// Apply counts ops before the store sees them, and notes the answers.
func (s *recordedSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.begin(ops)
	results, leases, err := s.Session.Apply(ctx, ops)
	s.answered(ops, results, err)
	return results, leases, err
}

func (s *recordedSession) begin(ops []backend.Op) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	for i := range ops {
		id := lockID{ops[i].Class, ops[i].Name}
		s.locks[ops[i].Owner] = id
		if ops[i].Do == backend.Acquire {
			s.recorder.of(id).acquires++
		} else {
			s.recorder.of(id).releases++
		}
	}
	if s.recorder.keeping {
		s.recorder.ops = append(s.recorder.ops, ops...)
	}
}

func (s *recordedSession) answered(ops []backend.Op, results []backend.Result, err error) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	if err != nil {
		for owner, id := range s.locks {
			s.recorder.stand(owner, id, 0)
		}
		clear(s.locks)
		return
	}
	for i := range min(len(ops), len(results)) {
		owner, id := ops[i].Owner, lockID{ops[i].Class, ops[i].Name}
		switch results[i].State {
		case backend.Granted:
			s.recorder.stand(owner, id, holds)
			s.recorder.contend(id, results[i].Grant.Contended)
		case backend.Queued:
			s.recorder.stand(owner, id, waits)
		case backend.Unknown, backend.Refused: // It is sent again.
		default:
			s.recorder.stand(owner, id, 0)
			delete(s.locks, owner)
		}
	}
}

// Recv notes the grants.
func (s *recordedSession) Recv(ctx context.Context) ([]backend.Event, error) {
	events, err := s.Session.Recv(ctx)
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	for _, e := range events {
		if e.Kind == backend.EventNotice {
			continue
		}
		id, known := s.locks[e.Owner]
		if known && e.Kind == backend.EventGranted {
			s.recorder.stand(e.Owner, id, holds)
		}
		s.recorder.contend(id, known && (e.Kind == backend.EventContended || e.Grant.Contended))
	}
	return events, err
}
