package backendtest

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A mutant is a bug that drivers of network stores have had, as a wrapper that any
// driver can be given.
type mutant struct {
	name  string
	check check  // has to find it
	says  string // how
	wrap  func(b *Between, inner backend.Session, m *mutation) backend.Session
}

var mutants = []mutant{
	{"the deadline is counted from after the answer", faultChecks[1], "too late", func(_ *Between, inner backend.Session, m *mutation) backend.Session {
		return &hopefulSession{inner, m}
	}},
	{"nobody looks whether the session is alive", faultChecks[2], "says that it holds what another holds", func(_ *Between, inner backend.Session, m *mutation) backend.Session {
		return &undeadSession{mutation: m, inner: inner, held: make(map[uint64]backend.Grant)}
	}},
	{"what comes late is carried out", lateChecks[0], "somebody holds the lock", func(b *Between, inner backend.Session, m *mutation) backend.Session {
		return &unfencedSession{Session: inner, mutation: m, direct: b.Direct(), doubtful: make(map[uint64]backend.Op)}
	}},
}

const mutantEnv = "DLOCK_BACKENDTEST_MUTANT"

// RunMutants shows that the checks which need Harness.Fault can see what they look
// for. It gives the driver one bug after the other, by a wrapper around it, runs the
// check that is there for it in a process of its own, and fails unless the check
// does. The test that calls it does nothing else.
func RunMutants(t *testing.T, h Harness) {
	if h.Fault == nil {
		t.Skip("the harness has no Fault")
	}
	h = h.withDefaults()
	if name, ok := os.LookupEnv(mutantEnv); ok {
		for _, m := range mutants {
			if m.name == name {
				t.Run(m.check.name, func(t *testing.T) { m.check.run(&fixture{T: t, Harness: m.harness(h)}) })
			}
		}
		return
	}
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.v", "-test.timeout=5m")
			cmd.Env = append(os.Environ(), mutantEnv+"="+m.name)
			out, err := cmd.CombinedOutput()
			switch text := string(out); {
			case err == nil && strings.Contains(text, "--- SKIP: "):
				t.Skipf("the check is skipped:\n%s", out)
			case err == nil:
				t.Errorf("the check %q did not find it:\n%s", m.check.name, out)
			case strings.Contains(text, "panic:") || !strings.Contains(text, m.says):
				t.Errorf("the check %q fails, but not by the bug:\n%s", m.check.name, out)
			}
		})
	}
}

// harness returns h with the bug.
func (m *mutant) harness(h Harness) Harness {
	fault := h.Fault
	h.Fault = func(t *testing.T) *Between {
		b := fault(t)
		open := b.Open
		b.Open = func() backend.Backend { return &mutatedBackend{open(), b, m, t} }
		return b
	}
	h.New = func(t *testing.T) func() backend.Backend { return fault(t).Direct }
	return h
}

// A mutatedBackend opens sessions that have a bug.
type mutatedBackend struct {
	backend.Backend
	between *Between
	mutant  *mutant
	t       *testing.T
}

func (b *mutatedBackend) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := b.Backend.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	return b.mutant.wrap(b.between, s, &mutation{b.t, b.Backend, ttl, who}), nil
}

// A mutation is what sessions with a bug know.
type mutation struct {
	t   *testing.T
	b   backend.Backend // without the bug
	ttl time.Duration
	who backend.ClientInfo
}

// A hopefulSession counts deadlines from when it hears of them, and without drift.
type hopefulSession struct {
	backend.Session
	*mutation
}

func (s *hopefulSession) hope(l *backend.Lease) {
	if !l.Until.IsZero() && l.Err == nil {
		l.Until = time.Now().Add(s.ttl)
	}
}

func (s *hopefulSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	results, leases, err := s.Session.Apply(ctx, ops)
	for i := range results {
		if results[i].State == backend.Granted {
			s.hope(&results[i].Grant.Lease)
		}
	}
	for i := range leases {
		s.hope(&leases[i])
	}
	return results, leases, err
}

func (s *hopefulSession) Recv(ctx context.Context) ([]backend.Event, error) {
	events, err := s.Session.Recv(ctx)
	for i := range events {
		s.hope(&events[i].Grant.Lease)
	}
	return events, err
}

// An undeadSession opens another session when it is dead, and goes on with what it
// held.
type undeadSession struct {
	*mutation

	mu     sync.Mutex
	inner  backend.Session
	held   map[uint64]backend.Grant
	closed bool
}

func (s *undeadSession) now() (inner backend.Session, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner, s.closed
}

func (s *undeadSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	inner, closed := s.now()
	if closed {
		return nil, nil, backend.ErrClosed
	}
	results, leases, err := inner.Apply(ctx, ops)
	if err != nil {
		results, leases = make([]backend.Result, len(ops)), nil
		for i := range results {
			results[i].State = backend.Unknown
		}
		if next, err := s.b.Open(ctx, s.ttl, s.who); err == nil {
			s.mu.Lock()
			s.inner = next
			s.mu.Unlock()
			_ = inner.Close(ctx)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, op := range ops {
		switch g, held := s.held[op.Owner]; {
		case op.Do == backend.Release:
			delete(s.held, op.Owner)
		case results[i].State == backend.Granted:
			s.held[op.Owner] = results[i].Grant
		case held:
			g.Lease.Until = time.Now().Add(s.ttl)
			results[i] = backend.Result{State: backend.Granted, Grant: g}
		}
	}
	return results, leases, nil
}

func (s *undeadSession) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		inner, closed := s.now()
		if closed {
			return nil, backend.ErrClosed
		}
		if events, err := inner.Recv(ctx); err == nil || ctx.Err() != nil {
			return events, err
		}
		time.Sleep(time.Millisecond) // Apply opens another one
	}
}

func (s *undeadSession) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	inner := s.inner
	s.mu.Unlock()
	return inner.Close(ctx)
}

// An unfencedSession has an Acquire that got no answer arrive when its owner is
// released. Who then holds the lock has the life of a process.
type unfencedSession struct {
	backend.Session
	*mutation
	direct backend.Backend

	doubtful map[uint64]backend.Op // owned by Apply
}

func (s *unfencedSession) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	results, leases, err := s.Session.Apply(ctx, ops)
	for i, op := range ops {
		switch late, doubtful := s.doubtful[op.Owner]; {
		case op.Do == backend.Acquire && err != nil:
			s.arrive(op)
		case op.Do == backend.Acquire && results[i].State == backend.Unknown:
			s.doubtful[op.Owner] = op
		case doubtful && (err != nil || results[i].State == backend.Released):
			delete(s.doubtful, op.Owner)
			s.arrive(late)
		}
	}
	if err != nil {
		for _, op := range s.doubtful {
			s.arrive(op)
		}
		clear(s.doubtful)
	}
	return results, leases, err
}

// arrive has the lock of op held by nobody.
func (s *unfencedSession) arrive(op backend.Op) {
	ctx, cancel := context.WithCancel(context.Background())
	phantom, err := s.direct.Open(ctx, s.ttl, s.who)
	if err == nil {
		_, _, err = phantom.Apply(ctx, []backend.Op{op})
	}
	if err != nil {
		s.t.Errorf("the request that comes late: %v", err)
		cancel()
		return
	}
	var living sync.WaitGroup
	living.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := phantom.Apply(ctx, nil); err != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(s.ttl / 6):
			}
		}
	})
	s.t.Cleanup(func() {
		_ = phantom.Close(ctx)
		cancel()
		living.Wait()
	})
}
