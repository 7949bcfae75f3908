package session

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A script is a store that does what a test says. It keeps no locks: what it answers
// is all there is.
type script struct {
	apply func(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error)
	open  func(ctx context.Context) error // nil: it opens at once

	mu   sync.Mutex
	recv chan struct{} // closed when the session is to die while it waits for events
}

func (s *script) String() string              { return "script:" }
func (s *script) Caps() backend.Caps          { return backend.Caps{} }
func (s *script) Close(context.Context) error { return nil }
func (s *script) Inspect(context.Context, backend.Class, string) (holders, waiters []backend.Participant, err error) {
	return nil, nil, backend.ErrUnsupported
}

func (s *script) Open(ctx context.Context, _ time.Duration, _ backend.ClientInfo) (backend.Session, error) {
	if s.open != nil {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recv = make(chan struct{})
	return &scripted{script: s, dead: s.recv}, nil
}

// cut has the session die while it waits for events.
func (s *script) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.recv)
}

type scripted struct {
	*script
	dead chan struct{}
}

func (s *scripted) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	return s.apply(ctx, ops)
}

func (s *scripted) Recv(ctx context.Context) ([]backend.Event, error) {
	select {
	case <-s.dead:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A line is a link on a script, and what it has reported and logged.
type line struct {
	*Link
	t *testing.T

	mu      sync.Mutex
	reports []Report
	downs   int
	arrived chan struct{} // holds one
	log     strings.Builder
}

const scriptTTL = 6 * time.Second

func newLine(t *testing.T, s *script) *line {
	l := &line{t: t, arrived: make(chan struct{}, 1)}
	logger := slog.New(slog.NewTextHandler(l, nil))
	l.Link = NewLink(s, scriptTTL, backend.ClientInfo{}, logger, l.take)
	return l
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

// lines returns how many lines with text were logged.
func (l *line) lines(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.log.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (l *line) take(r *Report) {
	if r.Told != nil {
		close(r.Told)
	}
	// Whoever reads of a loss may close the client: those who hold come first.
	if r.Kind == Down {
		if l.downs++; l.lines("session lost") >= l.downs {
			l.t.Error("the loss of a session is logged before it is reported")
		}
	}
	c := *r
	c.Ops, c.Results, c.Leases = slices.Clone(r.Ops), slices.Clone(r.Results), slices.Clone(r.Leases)
	l.mu.Lock()
	l.reports = append(l.reports, c)
	l.mu.Unlock()
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

// next waits for a report that matches and forgets those before it.
func (l *line) next(match func(*Report) bool) Report {
	l.t.Helper()
	late := time.After(time.Hour)
	for {
		l.mu.Lock()
		for i := range l.reports {
			if r := l.reports[i]; match(&r) {
				l.reports = l.reports[i+1:]
				l.mu.Unlock()
				return r
			}
		}
		l.mu.Unlock()
		select {
		case <-l.arrived:
		case <-late:
			l.t.Fatal("the link does not report what it should")
		}
	}
}

func kind(k Kind) func(*Report) bool { return func(r *Report) bool { return r.Kind == k } }

// about matches the Answer with a result of the owner.
func about(owner uint64) func(*Report) bool {
	return func(r *Report) bool {
		return r.Kind == Answer && slices.ContainsFunc(r.Ops, func(op backend.Op) bool { return op.Owner == owner })
	}
}

// up opens the session.
func (l *line) up() {
	l.t.Helper()
	l.Send(nil, time.Now(), nil)
	l.next(kind(Up))
}

func (l *line) end() { l.Close(context.Background()) }

func op(do backend.Do, owner uint64) backend.Op {
	return backend.Op{Do: do, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Wait: do == backend.Acquire, Owner: owner, Name: "x"}
}

// each answers op by op.
func each(answer func(op backend.Op) backend.Result) func(context.Context, []backend.Op) ([]backend.Result, []backend.Lease, error) {
	return func(_ context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
		var results []backend.Result
		for _, op := range ops {
			results = append(results, answer(op))
		}
		return results, nil, nil
	}
}

// done is the answer of a store that does what it is told.
func done(op backend.Op) backend.Result {
	if op.Do == backend.Release {
		return backend.Result{State: backend.Released}
	}
	return backend.Result{State: backend.Granted, Grant: backend.Grant{Ordinal: op.Owner}}
}
