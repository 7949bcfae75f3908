package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/journal"
)

// A recordingStore is a store whose conversations are written down: what the client asks
// for, where it waits, what it is granted, and the deadlines of the leases, which
// the public API does not show.
type recordingStore struct {
	backend.Backend
	journal *journal.Writer
	client  int64

	mu     sync.Mutex
	terms  map[grantKey]*terms
	places map[placeKey]int // at the store at present
	most   map[int]int      // places of a name at a time, in one mode
	owners int              // that the store has not been asked to free
}

// A grantKey is what a Hold and a grant of the store have in common. Where the
// store has no tokens the ordinal is 0 and the latest grant counts.
type grantKey struct {
	name    string
	ordinal uint64
}

type placeKey struct {
	name string
	mode backend.Mode
}

// terms are what a hold depends on.
type terms struct {
	session int64
	owner   uint64
	lease   atomic.Pointer[lease]
}

// A lease is a deadline as it is known now.
type lease struct {
	id    int64
	until atomic.Int64 // 0 for none
}

var sessions atomic.Int64 // the last number given to one in this process

func newTap(b backend.Backend, j *journal.Writer, client int) *recordingStore {
	return &recordingStore{
		Backend: b,
		journal: j,
		client:  int64(client),
		terms:   make(map[grantKey]*terms),
		places:  make(map[placeKey]int),
		most:    make(map[int]int),
	}
}

// termsOf returns the terms of a hold with that token, or nil when it is over.
func (t *recordingStore) termsOf(name string, token uint64) *terms {
	const handoverBits = 12 // of a token count the holders under one grant
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.terms[grantKey{name, token >> handoverBits}]
}

// Open implements [backend.Backend].
func (t *recordingStore) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := t.Backend.Open(ctx, ttl, who)
	if err != nil {
		t.journal.Put(journal.Now(), journal.Unopened, err.Error(), t.client)
		return nil, err
	}
	n := sessions.Add(1)
	t.journal.Add(journal.Opened, t.client, n)
	return &session{
		Session:        s,
		recordingStore: t,
		number:         n,
		owners:         make(map[uint64]*owner),
		leases:         make(map[uint32]*lease),
	}, nil
}

// A session is one tapped session.
type session struct {
	backend.Session
	recordingStore *recordingStore
	number         int64

	mu     sync.Mutex
	owners map[uint64]*owner
	leases map[uint32]*lease
	over   bool
}

type owner struct {
	op    backend.Op
	place bool   // it waits, for all we know
	terms *terms // once it was granted
	key   grantKey
	freed bool // Release was sent
}

func (s *session) add(kind journal.Kind, v ...int64) {
	s.recordingStore.journal.Add(kind, append([]int64{s.recordingStore.client, s.number}, v...)...)
}

// Apply implements [backend.Session].
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.mu.Lock()
	for i := range ops {
		s.asks(&ops[i])
	}
	s.mu.Unlock()
	begun := journal.Now()
	results, leases, err := s.Session.Apply(ctx, ops)
	took := journal.Now() - begun
	if err != nil {
		s.die(err)
		return results, leases, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range leases {
		s.lease(l)
	}
	unknown := int64(0)
	for i := range results {
		if results[i].State == backend.Unknown || results[i].State == backend.Refused {
			unknown++ // It is sent again.
			if o := s.owners[ops[i].Owner]; o != nil {
				// Its Release has to wait for it, and who comes next does not.
				s.unplace(o)
			}
		}
		s.answered(&ops[i], &results[i])
	}
	if took > int64(50*time.Millisecond) || unknown > 0 {
		s.add(journal.Slow, took, unknown)
	}
	return results, leases, err
}

// Recv implements [backend.Session].
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) {
	events, err := s.Session.Recv(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.die(err)
		}
		return events, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		if o := s.owners[events[i].Owner]; o != nil && events[i].Kind == backend.EventGranted {
			s.granted(events[i].Owner, o, &events[i].Grant)
		}
	}
	return events, nil
}

// Close implements [backend.Session].
func (s *session) Close(ctx context.Context) error {
	s.add(journal.Parted)
	s.end()
	return s.Session.Close(ctx)
}

func (s *session) die(err error) {
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if !over {
		s.recordingStore.journal.Put(journal.Now(), journal.Dead, err.Error(), s.recordingStore.client, s.number)
	}
	s.end()
}

// end forgets what ended with the session.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	for _, o := range s.owners {
		s.free(o)
	}
	s.owners = nil
}

func (s *session) asks(op *backend.Op) {
	if s.over {
		return
	}
	o := s.owners[op.Owner]
	switch {
	case op.Do == backend.Release:
		if o != nil && !o.freed {
			s.free(o)
			s.add(journal.Withdraw, int64(op.Owner))
		}
	case o == nil:
		o = &owner{op: *op, place: op.Wait}
		s.owners[op.Owner] = o
		s.recordingStore.took(o)
		wait := int64(0)
		if op.Wait {
			wait = 1
		}
		s.add(journal.Ask, int64(op.Owner), int64(job.Index(op.Name)), int64(op.Mode), wait)
	}
}

func (s *session) answered(op *backend.Op, r *backend.Result) {
	o := s.owners[op.Owner]
	if o == nil {
		return
	}
	switch r.State {
	case backend.Granted:
		s.granted(op.Owner, o, &r.Grant)
	case backend.Queued:
		if o.terms == nil {
			s.add(journal.Queued, int64(op.Owner))
		}
	case backend.Refused:
		if op.Do == backend.Acquire && !op.Wait {
			s.gone(op.Owner, o)
		}
	case backend.Busy, backend.Failed, backend.Released, backend.NotHeld:
		s.gone(op.Owner, o)
	}
}

// gone forgets an owner of whom the store knows nothing any more.
func (s *session) gone(number uint64, o *owner) {
	s.free(o)
	delete(s.owners, number)
	s.add(journal.Gone, int64(number))
}

func (s *session) granted(number uint64, o *owner, g *backend.Grant) {
	l := s.lease(g.Lease)
	if o.terms != nil {
		if o.terms.lease.Swap(l) != l {
			s.add(journal.Move, int64(number), l.id)
		}
		return
	}
	s.unplace(o)
	o.terms = &terms{session: s.number, owner: number}
	o.terms.lease.Store(l)
	key := grantKey{o.op.Name, g.Ordinal}
	s.recordingStore.mu.Lock()
	if !o.freed {
		s.recordingStore.terms[key] = o.terms
		o.key = key
	}
	s.recordingStore.mu.Unlock()
	s.add(journal.Taken, int64(number), int64(g.Ordinal))
}

// lease notes down a deadline.
func (s *session) lease(given backend.Lease) *lease {
	l := s.leases[given.ID]
	if l == nil {
		l = &lease{id: int64(given.ID)}
		s.leases[given.ID] = l
	}
	if at := journal.At(given.Until); at > l.until.Load()+int64(time.Millisecond) {
		l.until.Store(at)
		s.add(journal.Lease, l.id, at)
	}
	return l
}

// free notes that the store was asked to free an owner, or has.
func (s *session) free(o *owner) {
	s.unplace(o)
	if o.freed {
		return
	}
	o.freed = true
	s.recordingStore.mu.Lock()
	defer s.recordingStore.mu.Unlock()
	s.recordingStore.owners--
	if o.terms != nil && s.recordingStore.terms[o.key] == o.terms {
		delete(s.recordingStore.terms, o.key)
	}
}

// took counts an owner, and its place if it waits.
func (t *recordingStore) took(o *owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owners++
	if o.place {
		k := placeKey{o.op.Name, o.op.Mode}
		t.places[k]++
		i := job.Index(o.op.Name)
		if t.places[k] > t.most[i] {
			// Written at once: who is killed has left it behind.
			t.most[i] = t.places[k]
			t.journal.Add(journal.Places, t.client, int64(i), int64(t.most[i]))
		}
	}
}

// unplace counts a place off. An owner has one until it is granted, withdrawn or
// refused.
func (s *session) unplace(o *owner) {
	if !o.place {
		return
	}
	o.place = false
	s.recordingStore.mu.Lock()
	s.recordingStore.places[placeKey{o.op.Name, o.op.Mode}]--
	s.recordingStore.mu.Unlock()
}

// outstanding returns how many owners the store was not asked to free.
func (t *recordingStore) outstanding() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owners
}
