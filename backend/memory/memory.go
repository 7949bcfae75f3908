// Package memory keeps locks in the memory of one process. It is the double for
// the tests of applications, and the reference for what other drivers do.
//
// Importing it makes dlock.Open understand URLs of the scheme "memory":
// "memory:" is one store for the whole process, and "memory:name", which may be
// written "memory://name", is one store for each name.
package memory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
)

// A Store keeps locks in memory. All clients of one Store exclude each other;
// two Stores know nothing of one another. It is made by [New] and is safe for
// concurrent use.
//
// Locks have no lease: a session keeps what it holds until it is closed.
type Store struct {
	// Immutable.
	url string

	// Guarded by mu, as is the state of every session and lock of the store.
	mu      sync.Mutex
	ordinal uint64                                  // of the last grant
	locks   [backend.Semaphore + 1]map[string]*lock // by class; those held or waited for

	// What is no longer used, kept for the next to come: with it an Acquire
	// and its Release allocate nothing.
	spareLocks  []*lock
	spareClaims []*claim
}

// maxSpare bounds what a Store keeps for later use after a rush.
const maxSpare = 1024

var _ backend.Backend = (*Store)(nil)

// made counts the stores made by New.
var made atomic.Uint64

// New returns an empty store. It has a name of its own, but no URL leads to it.
func New() *Store { return open(fmt.Sprintf("memory:#%d", made.Add(1))) }

func open(url string) *Store {
	st := &Store{url: url}
	for class := range st.locks {
		st.locks[class] = make(map[string]*lock)
	}
	return st
}

// String returns the URL of the store, and a name that no other one has if it was
// made by New.
func (st *Store) String() string { return st.url }

// Caps returns everything but Processes.
func (st *Store) Caps() backend.Caps {
	return backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Inspect: true}
}

// Open starts a session. There are no leases, so ttl has no meaning here.
func (st *Store) Open(ctx context.Context, _ time.Duration, who backend.ClientInfo) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &session{
		store:  st,
		who:    who,
		mail:   mailbox.New(&st.mu),
		claims: make(map[uint64]*claim),
	}, nil
}

// Inspect tells who holds a lock and who waits for it. It never waits.
func (st *Store) Inspect(_ context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	if class < backend.Mutex || class > backend.Semaphore {
		return nil, nil, fmt.Errorf("%w: class %d", backend.ErrUnsupported, class)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	l := st.locks[class][name]
	if l == nil {
		return nil, nil, nil
	}
	for c := l.holders.First(); c != nil; c = c.link.Next() {
		holders = append(holders, c.standing())
	}
	for _, q := range []*claimList{&l.writers, &l.readers} { // Writers go first.
		for c := q.First(); c != nil; c = c.link.Next() {
			waiters = append(waiters, c.standing())
		}
	}
	return holders, waiters, nil
}

// acquire answers an Acquire. st.mu is held.
func (st *Store) acquire(s *session, op *backend.Op) backend.Result {
	if c := s.claims[op.Owner]; c != nil {
		return st.repeat(c, op)
	}
	if err := op.Check(); err != nil {
		return backend.Result{State: backend.Failed, Err: err}
	}
	l := st.locks[op.Class][op.Name]
	if l != nil && l.limit != op.Limit {
		return backend.Result{State: backend.Failed, Err: backend.ErrLimit}
	}
	free := l == nil || l.admits(op.Mode)
	if !free && !op.Wait {
		return backend.Result{State: backend.Busy}
	}
	if l == nil {
		l = st.newLock(op)
	}
	c := st.newClaim(s, l, op)
	if !free {
		l.enqueue(c, time.Now())
		return backend.Result{State: backend.Queued}
	}
	st.grant(c)
	return backend.Result{State: backend.Granted, Grant: c.terms()}
}

// repeat answers an Acquire whose owner is known already. st.mu is held.
func (st *Store) repeat(c *claim, op *backend.Op) backend.Result {
	switch {
	case c.lock.name != op.Name || c.lock.class != op.Class || c.mode != op.Mode || c.lock.limit != op.Limit:
		return backend.Result{State: backend.Failed, Err: backend.ErrOwner}
	case c.held():
		return backend.Result{State: backend.Granted, Grant: c.terms()}
	}
	return backend.Result{State: backend.Queued}
}

// release ends a claim, held or waiting, and grants the lock to whoever is next.
// st.mu is held.
func (st *Store) release(c *claim) {
	l := c.lock
	delete(c.session.claims, c.owner)
	l.remove(c)
	st.freeClaim(c)
	st.settle(l)
}

// settle grants l to those whose turn has come, and forgets it when nobody is
// left. st.mu is held.
func (st *Store) settle(l *lock) {
	var first *claim
	for c := l.next(); c != nil; c = l.next() {
		st.grant(c)
		if first == nil {
			first = c
		}
	}
	// They are told when all are in, so that none counts as waiting any more.
	// Holders stand in the order of their grants.
	for c := first; c != nil; c = c.link.Next() {
		c.session.mail.Send(backend.Event{Kind: backend.EventGranted, Owner: c.owner, Grant: c.terms()})
	}
	if l.idle() {
		st.freeLock(l)
	}
}

// grant makes c, new or waiting, a holder of its lock. The clock makes ordinals
// grow from one process to the next, the count within one. st.mu is held.
func (st *Store) grant(c *claim) {
	now := time.Now()
	st.ordinal = max(st.ordinal+1, backend.OrdinalAt(now))
	c.lock.hold(c, st.ordinal, now)
}

func (st *Store) newLock(op *backend.Op) *lock {
	var l *lock
	if n := len(st.spareLocks); n > 0 {
		l, st.spareLocks = st.spareLocks[n-1], st.spareLocks[:n-1]
	} else {
		l = new(lock)
	}
	*l = lock{class: op.Class, name: op.Name, limit: op.Limit}
	st.locks[op.Class][op.Name] = l
	return l
}

func (st *Store) freeLock(l *lock) {
	delete(st.locks[l.class], l.name)
	*l = lock{}
	if len(st.spareLocks) < maxSpare {
		st.spareLocks = append(st.spareLocks, l)
	}
}

func (st *Store) newClaim(s *session, l *lock, op *backend.Op) *claim {
	var c *claim
	if n := len(st.spareClaims); n > 0 {
		c, st.spareClaims = st.spareClaims[n-1], st.spareClaims[:n-1]
	} else {
		c = new(claim)
	}
	*c = claim{session: s, lock: l, owner: op.Owner, mode: op.Mode}
	s.claims[op.Owner] = c
	return c
}

func (st *Store) freeClaim(c *claim) {
	*c = claim{}
	if len(st.spareClaims) < maxSpare {
		st.spareClaims = append(st.spareClaims, c)
	}
}
