package backendtest_test

import (
	"context"
	"encoding/gob"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
)

// A depot is a lock server: a memory store behind TCP, whose sessions have leases.
// Its driver is a [stranger].
type depot struct {
	// Immutable.
	*testing.T
	store    *memory.Store
	unfenced bool // what comes late is carried out

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	tenants  map[uint64]*tenant
	running  sync.WaitGroup
}

// A tenant is a session as the depot sees it. depot.mu guards it.
type tenant struct {
	session backend.Session
	ttl     time.Duration
	expiry  *time.Timer
	last    uint64 // request that was carried out; earlier ones come late
	stop    context.CancelFunc
	events  []backend.Event
	more    chan struct{} // closed when events grow
	owners  map[uint64]*stay
}

// A stay is an owner that was not released.
type stay struct {
	op   backend.Op
	held bool
	lost bool // it was held, and was taken away
	told bool // that it is lost
}

// A request is what a stranger sends. It is one of open, close, receive, inspect and,
// if none of them, a batch.
type request struct {
	Session, Number      uint64
	Open, Close, Receive bool
	After                int // events were received
	TTL                  time.Duration
	Who                  backend.ClientInfo
	Ops                  []backend.Op
	Inspect              *backend.Op
}

// A reply is what the depot answers.
type reply struct {
	Gone             bool // the session is over, or never was
	Results          []outcome
	Events           []news
	Holders, Waiters []backend.Participant
}

type outcome struct {
	State backend.State
	Terms terms
	Fault int // of faults, and one
}

type news struct {
	Kind  backend.EventKind
	Owner uint64
	Terms terms
}

type terms struct {
	Ordinal   uint64
	Contended bool
}

var errTaken = errors.New("the lock was taken away")

// faults are the errors that pass the wire.
var faults = []error{backend.ErrLimit, backend.ErrName, backend.ErrOwner, backend.ErrUnsupported, errTaken}

func newDepot(t *testing.T) *depot {
	d := &depot{T: t, store: memory.New(), conns: make(map[net.Conn]bool), tenants: make(map[uint64]*tenant)}
	d.listen("127.0.0.1:0")
	t.Cleanup(func() {
		d.hangUp()
		d.mu.Lock()
		defer d.mu.Unlock()
		for id, s := range d.tenants {
			d.evict(id, s)
		}
	})
	return d
}

func (d *depot) addr() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.listener.Addr().String()
}

func (d *depot) listen(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		d.Error(err)
		return
	}
	d.mu.Lock()
	d.listener = l
	d.mu.Unlock()
	d.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns[c] = true
			d.mu.Unlock()
			d.running.Go(func() { d.serve(c) })
		}
	})
}

func (d *depot) hangUp() {
	d.mu.Lock()
	d.listener.Close()
	for c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
	d.running.Wait()
}

// restart ends all connections. The tenants and what they hold are kept.
func (d *depot) restart() {
	addr := d.addr()
	d.hangUp()
	d.listen(addr)
}

func (d *depot) serve(c net.Conn) {
	defer func() {
		c.Close()
		d.mu.Lock()
		delete(d.conns, c)
		d.mu.Unlock()
	}()
	in, out := gob.NewDecoder(c), gob.NewEncoder(c)
	for {
		var r request
		if in.Decode(&r) != nil || out.Encode(d.answer(r)) != nil {
			return
		}
	}
}

func (d *depot) answer(r request) (a reply) {
	if r.Inspect != nil {
		a.Holders, a.Waiters, _ = d.store.Inspect(context.Background(), r.Inspect.Class, r.Inspect.Name)
		return a
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Open {
		d.admit(r)
	}
	s := d.tenants[r.Session]
	if s == nil || !d.unfenced && !r.Receive && r.Number < s.last {
		return reply{Gone: true}
	}
	switch {
	case r.Receive:
		return d.receive(s, r)
	case r.Close:
		d.evict(r.Session, s)
		return a
	}
	s.last = max(s.last, r.Number)
	s.expiry.Reset(s.ttl)
	if len(r.Ops) == 0 { // a heartbeat looks at what is held
		s.tell()
	}
	for _, op := range r.Ops {
		a.Results = append(a.Results, s.apply(op))
	}
	return a
}

func (d *depot) admit(r request) {
	if d.tenants[r.Session] != nil {
		return
	}
	inner, err := d.store.Open(context.Background(), r.TTL, r.Who)
	if err != nil {
		d.Error(err)
		return
	}
	s := &tenant{session: inner, ttl: r.TTL, more: make(chan struct{}), owners: make(map[uint64]*stay)}
	d.tenants[r.Session] = s
	s.expiry = time.AfterFunc(s.ttl, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.tenants[r.Session] == s {
			d.evict(r.Session, s)
		}
	})
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	d.running.Go(func() {
		for {
			events, err := inner.Recv(ctx)
			if err != nil {
				return
			}
			d.mu.Lock()
			for _, e := range events {
				if stay := s.owners[e.Owner]; stay != nil && e.Kind == backend.EventGranted {
					stay.held = true
				}
				s.push(e)
			}
			d.mu.Unlock()
		}
	})
}

// push adds an event. d.mu is held.
func (s *tenant) push(e backend.Event) {
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

// tell tells of what was lost. d.mu is held.
func (s *tenant) tell() {
	for owner, stay := range s.owners {
		if stay.lost && !stay.told {
			stay.told = true
			s.push(backend.Event{Kind: backend.EventLost, Owner: owner})
		}
	}
}

// evict ends a tenant. d.mu is held.
func (d *depot) evict(id uint64, s *tenant) {
	delete(d.tenants, id)
	s.expiry.Stop()
	s.stop()
	s.session.Close(context.Background())
}

// receive waits a moment for events. d.mu is held, and is free meanwhile.
func (d *depot) receive(s *tenant, r request) (a reply) {
	for soon := time.After(50 * time.Millisecond); soon != nil && len(s.events) <= r.After; {
		more := s.more
		d.mu.Unlock()
		select {
		case <-more:
		case <-soon:
			soon = nil
		}
		d.mu.Lock()
	}
	for _, e := range s.events[min(r.After, len(s.events)):] {
		a.Events = append(a.Events, news{e.Kind, e.Owner, terms{e.Grant.Ordinal, e.Grant.Contended}})
	}
	a.Gone = d.tenants[r.Session] != s
	return a
}

// apply carries out an op.
func (s *tenant) apply(op backend.Op) outcome {
	there := s.owners[op.Owner]
	if there != nil && there.lost {
		if op.Do == backend.Acquire {
			return outcome{State: backend.Failed, Fault: len(faults)}
		}
		delete(s.owners, op.Owner)
		if there.told {
			return outcome{State: backend.Released}
		}
		return outcome{State: backend.NotHeld}
	}
	results, _, err := s.session.Apply(context.Background(), []backend.Op{op})
	if err != nil {
		return outcome{State: backend.Unknown}
	}
	r := results[0]
	o := outcome{State: r.State, Terms: terms{r.Grant.Ordinal, r.Grant.Contended}}
	for i, fault := range faults {
		if errors.Is(r.Err, fault) {
			o.Fault = i + 1
		}
	}
	switch {
	case r.State == backend.Granted || r.State == backend.Queued:
		s.owners[op.Owner] = &stay{op: op, held: r.State == backend.Granted}
	case r.State == backend.Failed && there != nil: // by its owner, that stands for something else
	default:
		delete(s.owners, op.Owner)
	}
	return o
}

// lose takes a lock away from all who hold it.
func (d *depot) lose(class backend.Class, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.tenants {
		for _, stay := range s.owners {
			if stay.held && stay.op.Class == class && stay.op.Name == name {
				stay.lost = true
				release := stay.op
				release.Do, release.Wait = backend.Release, false
				s.session.Apply(context.Background(), []backend.Op{release})
			}
		}
	}
}
