package backendtest_test

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
)

// A stranger is a driver for a [depot], as somebody may write it who knows the
// contract alone. Its bugs are those that such drivers have had.
type stranger struct {
	depot *depot
	addr  string
	bug   bug
}

type bug uint8

const (
	countsFromTheAnswer bug = iota + 1 // the deadline, and without drift
	goesOnWhenItIsOver                 // by a new session at the depot
)

var strangerCaps = backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Inspect: true}

func (b *stranger) String() string     { return "stranger://" + b.addr }
func (b *stranger) Caps() backend.Caps { return strangerCaps }

func (b *stranger) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	w := &wire{addr: b.addr}
	defer w.close()
	a, err := w.call(ctx, request{Inspect: &backend.Op{Class: class, Name: name}})
	return a.Holders, a.Waiters, err
}

func (b *stranger) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s := &guest{b: b, id: rand.Uint64(), ttl: ttl, who: who, stopped: make(chan struct{}),
		granted: make(map[uint64]terms), doubtful: make(map[uint64]bool),
		calls: &wire{addr: b.addr}, news: &wire{addr: b.addr}}
	for {
		sent := time.Now()
		if err := s.enter(ctx); err != nil {
			s.calls.close()
			return nil, fmt.Errorf("opening a session with %v: %w", b, err)
		}
		if s.renewed(sent); s.over() == nil {
			return s, nil
		}
	}
}

// A guest is a session of a stranger.
type guest struct {
	// Immutable.
	b       *stranger
	id      uint64
	ttl     time.Duration
	who     backend.ClientInfo
	calls   *wire // of Apply
	news    *wire // of Recv
	stopped chan struct{}

	// Owned by Apply, and by Close after it.
	doubtful map[uint64]bool // owners that a Release was sent for without an answer

	// Owned by Recv.
	heard int // events

	mu      sync.Mutex
	number  uint64 // of the last request
	until   time.Time
	granted map[uint64]terms
	closed  bool
}

func (s *guest) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number
}

func (s *guest) enter(ctx context.Context) error {
	_, err := s.calls.call(ctx, request{Session: s.id, Number: s.next(), Open: true, TTL: s.ttl, Who: s.who})
	return err
}

// renewed moves the deadline, by a request that was answered.
func (s *guest) renewed(sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := sent.Add(s.ttl - s.ttl/100)
	if s.b.bug == countsFromTheAnswer {
		until = time.Now().Add(s.ttl)
	}
	if until.After(s.until) {
		s.until = until
	}
}

var (
	errOver = errors.New("the lease is over")
	errGone = fmt.Errorf("%w: the depot does not know it", backend.ErrSessionOver)
)

// over returns why the session is dead, or nil.
func (s *guest) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return backend.ErrClosed
	case s.b.bug == goesOnWhenItIsOver:
		return nil
	case !time.Now().Before(s.until):
		return errOver
	}
	return nil
}

func (s *guest) grant(owner uint64, t terms) backend.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granted[owner] = t
	return backend.Grant{Lease: backend.Lease{ID: 1, Until: s.until}, Ordinal: t.Ordinal, Contended: t.Contended}
}

// most is how many ops a request has: the lease has to be renewed in time.
const most = 100

func (s *guest) Apply(ctx context.Context, ops []backend.Op) (results []backend.Result, leases []backend.Lease, err error) {
	for {
		n := min(len(ops), most)
		some, l, err := s.apply(ctx, ops[:n])
		if err != nil {
			return nil, nil, err
		}
		results, leases, ops = append(results, some...), append(leases, l...), ops[n:]
		if len(ops) == 0 {
			return results, leases, nil
		}
		if results[len(results)-1].State == backend.Unknown { // then so is what follows
			for range ops {
				results = append(results, backend.Result{State: backend.Unknown})
			}
			return results, leases, nil
		}
	}
}

func (s *guest) apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	if err := s.over(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.ttl/3)
	defer cancel()
	results := make([]backend.Result, len(ops))
	sent := time.Now()
	a, err := s.calls.call(ctx, request{Session: s.id, Number: s.next(), Ops: ops})
	if err == nil && a.Gone && s.b.bug == goesOnWhenItIsOver {
		if err = s.enter(ctx); err == nil {
			sent = time.Now()
			a, err = s.calls.call(ctx, request{Session: s.id, Number: s.next(), Ops: ops})
		}
	}
	switch {
	case err != nil:
		if over := s.over(); over != nil {
			return nil, nil, over
		}
		for i, op := range ops {
			results[i].State = backend.Unknown
			if op.Do == backend.Release {
				s.doubtful[op.Owner] = true
			}
		}
		return results, nil, nil
	case a.Gone:
		s.mu.Lock()
		s.until = time.Now()
		s.mu.Unlock()
		return nil, nil, errGone
	}
	s.renewed(sent)
	if err := s.over(); err != nil {
		return nil, nil, err
	}
	for i, o := range a.Results {
		results[i] = s.result(ops[i], o)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return results, []backend.Lease{{ID: 1, Until: s.until}}, nil
}

func (s *guest) result(op backend.Op, o outcome) backend.Result {
	r := backend.Result{State: o.State}
	s.mu.Lock()
	t, granted := s.granted[op.Owner]
	if op.Do == backend.Release {
		delete(s.granted, op.Owner)
	}
	s.mu.Unlock()
	switch {
	case o.State == backend.Granted:
		r.Grant = s.grant(op.Owner, o.Terms)
	case op.Do == backend.Acquire && granted && s.b.bug == goesOnWhenItIsOver:
		return backend.Result{State: backend.Granted, Grant: s.grant(op.Owner, t)}
	case o.State == backend.Failed && o.Fault == 0:
		r.Err = errors.New("the depot does not say why")
	case o.State == backend.Failed:
		r.Err = faults[o.Fault-1]
	case o.State == backend.NotHeld && (!granted || s.doubtful[op.Owner]):
		r.State = backend.Released
	}
	if op.Do == backend.Release {
		delete(s.doubtful, op.Owner)
	}
	return r
}

func (s *guest) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		if err := s.over(); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.mu.Lock()
		until := s.until
		s.mu.Unlock()
		if s.b.bug == goesOnWhenItIsOver {
			until = time.Now().Add(s.ttl)
		}
		call, cancel := context.WithDeadline(ctx, until)
		a, err := s.news.call(call, request{Session: s.id, Receive: true, After: s.heard})
		cancel()
		if err != nil || a.Gone {
			select { // before it connects again, or hears from Apply that it is over
			case <-time.After(10 * time.Millisecond):
			case <-s.stopped:
			case <-ctx.Done():
			}
		}
		var events []backend.Event
		for _, n := range a.Events {
			s.heard++
			e := backend.Event{Kind: n.Kind, Owner: n.Owner}
			if n.Kind == backend.EventGranted {
				e.Grant = s.grant(n.Owner, n.Terms)
			}
			events = append(events, e)
		}
		if len(events) > 0 && s.over() == nil {
			return events, nil
		}
	}
}

func (s *guest) Close(ctx context.Context) error {
	over := s.over()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stopped)
	s.mu.Unlock()
	s.calls.close()
	s.news.close()
	if over != nil {
		return nil
	}
	w := &wire{addr: s.b.addr}
	defer w.close()
	for {
		_, err := w.call(ctx, request{Session: s.id, Number: s.next(), Close: true})
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A wire is a connection to a depot that is opened when it is needed. One goroutine
// calls call, and any other close.
type wire struct {
	addr string

	mu     sync.Mutex
	conn   net.Conn // nil when there is none
	in     *gob.Decoder
	out    *gob.Encoder
	closed bool
}

func (w *wire) call(ctx context.Context, r request) (a reply, err error) {
	if err := w.dial(ctx); err != nil {
		return a, err
	}
	conn := w.conn
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	if err = w.out.Encode(r); err == nil {
		err = w.in.Decode(&a)
	}
	if !stop() && err == nil {
		err = ctx.Err() // the deadline of the next call must not be the one of this
	}
	if err != nil {
		w.mu.Lock()
		w.conn = nil
		w.mu.Unlock()
		conn.Close()
		return reply{}, fmt.Errorf("no answer: %w", errors.Join(err, context.Cause(ctx)))
	}
	return a, nil
}

func (w *wire) dial(ctx context.Context) error {
	w.mu.Lock()
	conn, closed := w.conn, w.closed
	w.mu.Unlock()
	if conn != nil || closed {
		return map[bool]error{true: backend.ErrClosed}[closed]
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", w.addr)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		conn.Close()
		return backend.ErrClosed
	}
	w.conn, w.in, w.out = conn, gob.NewDecoder(conn), gob.NewEncoder(conn)
	return nil
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.conn != nil {
		w.conn.Close()
	}
}

// strangerHarness is the harness of a stranger with a bug or none, whose depot may
// have one, too.
func strangerHarness(b bug, unfenced bool) backendtest.Harness {
	open := func(t *testing.T) *depot {
		d := newDepot(t)
		d.unfenced = unfenced
		return d
	}
	return backendtest.Harness{
		New: func(t *testing.T) func() backend.Backend {
			d := open(t)
			return func() backend.Backend { return &stranger{d, d.addr(), b} }
		},
		Lose: func(_ *testing.T, b backend.Backend, class backend.Class, name string) {
			b.(*stranger).depot.lose(class, name)
		},
		Fault: func(t *testing.T) *backendtest.Between {
			d := open(t)
			p := backendtest.NewProxy(t, d.addr())
			f := backendtest.Through(p)
			f.Open = func() backend.Backend { return &stranger{d, p.Addr(), b} }
			f.Direct = func() backend.Backend { return &stranger{d, d.addr(), b} }
			f.Restart = d.restart
			return f
		},
		Caps: strangerCaps,
		TTL:  6 * time.Second, // the race detector is slow on a busy machine
	}
}

func TestConformanceOfStranger(t *testing.T) { backendtest.Run(t, strangerHarness(0, false)) }

// TestMutants shows that wrappers with bugs are found around a driver that has none.
func TestMutants(t *testing.T) { backendtest.RunMutants(t, strangerHarness(0, false)) }

const strangeEnv = "DLOCK_BACKENDTEST_STRANGE"

// TestStrange runs the checks that are there for it on a stranger with each bug, in a
// process of its own, and expects them to fail.
func TestStrange(t *testing.T) {
	for name, c := range map[string]struct {
		h     backendtest.Harness
		found string
		says  string
	}{
		"counts deadlines from the answer": {strangerHarness(countsFromTheAnswer, false), "^fault$/^the_deadline", "too late"},
		"has the lock beside the next":     {strangerHarness(countsFromTheAnswer, false), "^fault$/^the_deadline", "before the lease ends"},
		"goes on when its session is over": {strangerHarness(goesOnWhenItIsOver, false), "^fault$/^a_session", "says that it holds what another holds"},
		"carries out what comes late":      {strangerHarness(0, true), "^late$/^an_Acquire_that_comes_after_its_Release", "somebody holds the lock"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(strangeEnv) != "" {
				backendtest.Run(t, c.h)
				return
			}
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStrange$/^"+strings.ReplaceAll(name, " ", "_")+"$/"+c.found, "-test.timeout=5m")
			cmd.Env = append(os.Environ(), strangeEnv+"=1")
			out, err := cmd.CombinedOutput()
			if text := string(out); err == nil || strings.Contains(text, "panic:") || !strings.Contains(text, c.says) {
				t.Errorf("the checks of %q did not find it: %v\n%s", c.found, err, out)
			}
		})
	}
}
