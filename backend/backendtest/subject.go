package backendtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// behind sets up a store with something before it. It skips the check when there is
// no such store, or when it lacks what the check needs.
func (f *fixture) behind(needs func(*Between) bool) *Between {
	f.Helper()
	if f.Fault == nil {
		f.Skip("the harness has no Fault")
	}
	b := f.Fault(f.T)
	if needs != nil && !needs(b) {
		f.Skip("what Fault sets up cannot fail in this way")
	}
	return b
}

// What checks need of a Between.
var (
	cuts    = func(b *Between) bool { return b.Delay != nil && b.Cut != nil && b.Pause != nil && b.Resume != nil }
	delays  = func(b *Between) bool { return b.Delay != nil }
	pauses  = func(b *Between) bool { return b.Pause != nil && b.Resume != nil }
	repairs = func(b *Between) bool { return b.Restart != nil }
)

// rival opens a session that nothing is between of.
func (f *fixture) rival(b *Between) *peer {
	f.Helper()
	p, err := f.connect(b.Direct(), f.clientInfo())
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// A subject is a session with something between it and its store. Unlike a peer it
// may die, and does nothing by itself but receive. Its methods are for the goroutine
// of the check.
type subject struct {
	// Immutable.
	f       *fixture
	between *Between
	session backend.Session
	life    context.Context
	kill    context.CancelFunc
	running sync.WaitGroup

	// Owned by the check.
	last    uint64 // owner
	over    error  // why it is dead, or nil
	closed  bool
	delayed time.Duration // by Delay, since
	since   time.Time

	mu     sync.Mutex
	leases map[uint32]time.Time
	grants map[uint64]backend.Grant // told by events
	again  map[uint64]bool          // to be applied again
	lost   map[uint64]bool
	dead   bool // said Recv
}

// subject opens a session through what is between. It ends with the test.
func (f *fixture) subject(between *Between) *subject {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
	defer cancel()
	session, err := between.Open().Open(ctx, f.TTL, f.clientInfo())
	if err != nil {
		f.Fatalf("Open: %v", err)
	}
	return f.adopt(between, session)
}

// alone opens a session that nothing is between of.
func (f *fixture) alone() *subject {
	f.Helper()
	return f.subject(&Between{Open: f.open})
}

func (f *fixture) adopt(between *Between, session backend.Session) *subject {
	s := &subject{
		f: f, between: between, session: session,
		leases: make(map[uint32]time.Time), grants: make(map[uint64]backend.Grant),
		again: make(map[uint64]bool), lost: make(map[uint64]bool),
	}
	s.life, s.kill = context.WithCancel(context.Background())
	s.running.Go(s.receive)
	f.Cleanup(func() {
		s.heal()
		ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
		defer cancel()
		s.close(ctx)
	})
	return s
}

// heal ends all that is wrong.
func (s *subject) heal() {
	if s.between.Resume != nil {
		s.between.Resume()
	}
	if s.between.Delay != nil {
		s.delay(0)
	}
}

// delay has answers come late, and deadlines checked for it.
func (s *subject) delay(d time.Duration) {
	s.between.Delay(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delayed, s.since = d, time.Now()
}

func (s *subject) close(ctx context.Context) {
	if s.closed {
		return
	}
	s.closed = true
	_ = s.session.Close(ctx) // it may be dead
	s.kill()
	s.running.Wait()
}

func (s *subject) receive() {
	for {
		events, err := s.session.Recv(s.life)
		s.mu.Lock()
		if err != nil {
			s.dead = true
			s.mu.Unlock()
			return
		}
		for _, e := range events {
			switch e.Kind {
			case backend.EventGranted:
				s.grants[e.Owner] = e.Grant
				s.note(e.Grant.Lease)
			case backend.EventTurn:
				s.again[e.Owner] = true
			case backend.EventLost:
				s.lost[e.Owner] = true
			}
		}
		s.mu.Unlock()
	}
}

// note takes note of a deadline, which is counted from before the request whose
// answer told it: so it cannot lie beyond the time to live from where that answer was
// on its way. s.mu is held.
func (s *subject) note(l backend.Lease) {
	known, ok := s.leases[l.ID]
	switch now := time.Now(); {
	case l.Until.IsZero():
	case ok && !known.IsZero() && !now.Before(known) && l.Until.After(known):
		s.f.Errorf("lease %d was over for %v, and has a new deadline", l.ID, now.Sub(known))
	case s.delayed > 0:
		sent := now.Add(-s.delayed)
		if sent.Before(s.since) {
			sent = s.since
		}
		if late := l.Until.Sub(sent.Add(s.f.TTL)); late > 0 {
			s.f.Errorf("lease %d ends %v too late: it is not counted from before the request, whose answer was %v on its way", l.ID, late, s.delayed)
		}
	}
	if l.Until.After(known) || !ok {
		s.leases[l.ID] = l.Until
	}
}

// until returns the deadline of a lease as it is known.
func (s *subject) until(lease uint32) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases[lease]
}

// claim returns the Acquire of a new owner.
func (s *subject) claim(op backend.Op, wait bool) backend.Op {
	s.last++
	op.Do, op.Owner, op.Wait = backend.Acquire, s.last, wait
	return op
}

// told reports whether events, or the end of them, have told that an owner holds
// nothing any more.
func (s *subject) told(op backend.Op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead || s.lost[op.Owner]
}

// release returns the Release of an Acquire's owner.
func release(op backend.Op) backend.Op {
	op.Do, op.Wait = backend.Release, false
	return op
}

// apply calls Apply once, and not for so long that the session could not be saved
// after it. Where the session is dead, or dies, the answers are Unknown.
func (s *subject) apply(ops ...backend.Op) []backend.Result {
	results := make([]backend.Result, len(ops))
	for i := range results {
		results[i].State = backend.Unknown
	}
	if s.over != nil {
		return results
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.f.TTL*2/3)
	defer cancel()
	got, leases, err := s.session.Apply(ctx, ops)
	if err != nil {
		s.over = err
		return results
	}
	if len(got) != len(ops) {
		s.f.Fatalf("%d results for %d ops", len(got), len(ops))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range got {
		if r.State == backend.Granted {
			s.note(r.Grant.Lease)
		}
	}
	for _, l := range leases {
		s.note(l)
	}
	return slices.Clone(got)
}

// answer applies an op until it has an answer. It returns Unknown when the session is
// dead.
func (s *subject) answer(op backend.Op) backend.Result {
	s.f.Helper()
	for deadline := time.Now().Add(s.f.Patience); ; time.Sleep(time.Millisecond) {
		r := s.apply(op)[0]
		if r.State != backend.Unknown || s.over != nil {
			return r
		}
		if time.Now().After(deadline) {
			s.f.Fatalf("%s of %v %q has no answer for %v", map[backend.Do]string{backend.Acquire: "Acquire", backend.Release: "Release"}[op.Do], op.Class, op.Name, s.f.Patience)
		}
	}
}

// take acquires a lock that has to become free, as a new owner.
func (s *subject) take(op backend.Op) (backend.Op, backend.Grant) {
	s.f.Helper()
	op = s.claim(op, true)
	r := s.answer(op)
	if r.State == backend.Queued {
		return op, s.granted(op)
	}
	if r.State != backend.Granted {
		s.f.Fatalf("Acquire: %s; want Granted", s.said(r))
	}
	return op, r.Grant
}

// granted keeps the session alive until an event has granted what it waits for.
func (s *subject) granted(op backend.Op) (g backend.Grant) {
	s.f.Helper()
	s.alive("the grant", func() bool {
		s.mu.Lock()
		again := s.again[op.Owner]
		delete(s.again, op.Owner)
		grant, granted := s.grants[op.Owner]
		s.mu.Unlock()
		if again && !granted {
			if r := s.apply(op)[0]; r.State == backend.Granted {
				grant, granted = r.Grant, true
			}
		}
		g = grant
		return granted
	})
	return g
}

// alive has the session send heartbeats until something is so. It fails the test when
// that takes too long, or the session dies.
func (s *subject) alive(what string, cond func() bool) {
	s.f.Helper()
	if !s.beats(s.f.bound(), cond) {
		s.f.Fatalf("%s: not so after %v; the session: %v", what, s.f.bound(), s.over)
	}
	if s.over != nil {
		s.f.Fatalf("%s: the session has died: %v", what, s.over)
	}
}

// beats has the session send heartbeats, while it lives, for so long or until
// something is so, and reports whether it is.
func (s *subject) beats(d time.Duration, cond func() bool) bool {
	var beat time.Time
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if cond != nil && cond() {
			return true
		}
		if time.Since(beat) > s.f.TTL/6 {
			s.apply()
			beat = time.Now()
		}
	}
	return false
}

// said describes an answer, or the death of the session.
func (s *subject) said(r backend.Result) string {
	if s.over != nil {
		return fmt.Sprintf("the session is dead: %v", s.over)
	}
	return fmt.Sprintf("state %d, error %v", r.State, r.Err)
}
