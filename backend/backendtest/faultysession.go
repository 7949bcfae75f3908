package backendtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A faultySession is a session of a FaultyBackend. It dies once, by a fault, with
// its lease, or by Close; err tells by what.
type faultySession struct {
	// Immutable.
	f      *FaultyBackend
	inner  backend.Session
	life   context.Context // of the pump; ends when the session dies
	end    context.CancelFunc
	wake   chan struct{} // holds one: sent when events begin to wait, received by Recv
	pumped chan struct{} // closed by the pump when it returns

	// Owned by the caller of Apply.
	results []backend.Result

	mu       sync.Mutex
	err      error             // why it is dead
	names    map[uint64]string // by owner, of Acquires
	held     map[uint64]bool   // owners whose holder knows of the grant
	events   []backend.Event   // not yet received
	withheld []backend.Event   // until repair
	repair   *time.Timer       // nil unless events are withheld
	until    time.Time         // of the lease of the plan
	expiry   *time.Timer       // nil without a lease
}

func newFaultySession(f *FaultyBackend, inner backend.Session, sent time.Time) *faultySession {
	s := &faultySession{
		f:      f,
		inner:  inner,
		wake:   make(chan struct{}, 1),
		pumped: make(chan struct{}),
		names:  make(map[uint64]string),
		held:   make(map[uint64]bool),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.renew(sent)
	return s
}

// Apply is that of the inner session, with what strikes it.
func (s *faultySession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	if err := s.failure(); err != nil {
		return nil, nil, err
	}
	s.ask(ops)
	sent := time.Now()
	fault := s.f.strikes(ops, FailBefore, FailAfter, UnknownBefore, UnknownAfter, DelayBefore, DelayAfter)
	switch {
	case fault == FailBefore:
		return nil, nil, s.die(ErrInjected)
	case fault == UnknownBefore, fault == DelayBefore && !s.delay(ctx):
		return s.unknown(ops)
	}
	results, leases, err := s.inner.Apply(ctx, ops)
	if err != nil {
		return nil, nil, s.die(err)
	}
	switch {
	case fault == FailAfter:
		return nil, nil, s.die(ErrInjected)
	case fault == UnknownAfter, fault == DelayAfter && !s.delay(ctx):
		return s.unknown(ops)
	}
	return s.answer(sent, ops, results, leases)
}

// delay reports whether the delay was over before ctx.
func (s *faultySession) delay(ctx context.Context) bool {
	timer := time.NewTimer(s.f.plan.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.life.Done():
		return true // Apply sees the failure
	case <-ctx.Done():
		return false
	}
}

// unknown answers that nothing is known.
func (s *faultySession) unknown(ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	if err := s.failure(); err != nil {
		return nil, nil, err
	}
	s.results = s.results[:0]
	for range ops {
		s.results = append(s.results, backend.Result{State: backend.Unknown, Err: ErrInjected})
	}
	return s.results, nil, nil
}

// answer answers what the inner session did, under the lease of the plan.
func (s *faultySession) answer(sent time.Time, ops []backend.Op, results []backend.Result, leases []backend.Lease) ([]backend.Result, []backend.Lease, error) {
	if err := s.failure(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f.plan.Lease > 0 {
		s.renew(sent)
		leases = []backend.Lease{{Until: s.until}}
	}
	s.results = append(s.results[:0], results...)
	for i, op := range ops {
		r := &s.results[i]
		switch r.State {
		case backend.Granted:
			s.held[op.Owner] = true
			s.lend(&r.Grant)
		case backend.Released, backend.Busy, backend.Failed:
			delete(s.names, op.Owner)
			delete(s.held, op.Owner)
		}
	}
	return s.results, leases, nil
}

// ask takes note of the names that are asked for.
func (s *faultySession) ask(ops []backend.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		if op.Do == backend.Acquire {
			s.names[op.Owner] = op.Name
		}
	}
}

// renew extends the lease of the plan, if there is one. s.mu is held once the
// session is in use.
func (s *faultySession) renew(sent time.Time) {
	lease := s.f.plan.Lease
	if lease == 0 {
		return
	}
	s.until = sent.Add(lease)
	if s.expiry == nil {
		s.expiry = time.AfterFunc(time.Until(s.until), func() { s.failure() })
	} else {
		s.expiry.Reset(time.Until(s.until))
	}
}

// lend puts a grant under the lease of the plan. s.mu is held.
func (s *faultySession) lend(g *backend.Grant) {
	if s.f.plan.Lease > 0 {
		g.Lease = backend.Lease{Until: s.until}
	}
}

var errLapsed = errors.New("dlock: the lease of the session has ended")

// failure returns why the session is dead, or nil. Its death by the deadline
// does not wait for a timer.
func (s *faultySession) failure() error {
	s.mu.Lock()
	err, lapsed := s.err, !s.until.IsZero() && !time.Now().Before(s.until)
	s.mu.Unlock()
	if err == nil && lapsed {
		return s.die(errLapsed)
	}
	return err
}

// kill makes err the end of the session, and reports whether it was alive.
func (s *faultySession) kill(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	s.err = err
	s.end()
	for _, timer := range []*time.Timer{s.repair, s.expiry} {
		if timer != nil {
			timer.Stop()
		}
	}
	return true
}

// die ends the session and abandons what it had. It returns why the session is
// dead, which may have another reason.
func (s *faultySession) die(err error) error {
	if s.kill(err) {
		s.f.abandon(s)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// pump passes on the events of the inner session, with what strikes them. It
// ends with the session.
func (s *faultySession) pump() {
	defer close(s.pumped)
	for {
		events, err := s.inner.Recv(s.life)
		if err != nil {
			s.die(err)
			return
		}
		switch s.f.strikes(nil, DropEvents, DoubleEvents, FailRecv) {
		case DropEvents:
			s.drop(events)
		case DoubleEvents:
			twice := append(slices.Clone(events), events...)
			slices.Reverse(twice[len(events):])
			s.push(twice...)
		case FailRecv:
			s.die(ErrInjected)
			return
		default:
			s.push(events...)
		}
	}
}

// drop loses grants and turns for as long as the plan says, and withholds the
// rest.
func (s *faultySession) drop(events []backend.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if e.Kind == backend.EventGranted {
			e = backend.Event{Kind: backend.EventTurn, Owner: e.Owner}
		}
		s.withheld = append(s.withheld, e)
	}
	if s.repair == nil && s.err == nil {
		s.repair = time.AfterFunc(s.f.plan.Repair, s.mend)
	}
}

func (s *faultySession) mend() {
	s.mu.Lock()
	late := s.withheld
	s.withheld, s.repair = nil, nil
	s.mu.Unlock()
	s.push(late...)
}

// push has Recv return events.
func (s *faultySession) push(events ...backend.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// lose sends EventLost to those who hold name, and returns how many there are.
func (s *faultySession) lose(name string) int {
	var lost []backend.Event
	s.mu.Lock()
	for owner := range s.held {
		if s.names[owner] == name {
			lost = append(lost, backend.Event{Kind: backend.EventLost, Owner: owner, Err: ErrInjected})
			delete(s.held, owner)
		}
	}
	s.mu.Unlock()
	if len(lost) > 0 {
		s.push(lost...)
	}
	return len(lost)
}

// Recv returns what the pump left of the events.
func (s *faultySession) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		if err := s.failure(); err != nil {
			return nil, err
		}
		if events := s.receive(); len(events) > 0 {
			return events, nil
		}
		select {
		case <-s.wake:
		case <-s.life.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *faultySession) receive() []backend.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	for i := range events {
		e := &events[i]
		if _, known := s.names[e.Owner]; e.Kind == backend.EventGranted && known {
			s.held[e.Owner] = true
			s.lend(&e.Grant)
		}
	}
	return events
}

// Close closes the inner session, unless the session is dead: then the store
// keeps what it had.
func (s *faultySession) Close(ctx context.Context) error {
	var err error
	if s.kill(backend.ErrClosed) {
		s.f.mu.Lock()
		delete(s.f.living, s)
		s.f.mu.Unlock()
		err = s.inner.Close(ctx)
	}
	<-s.pumped
	return err
}
