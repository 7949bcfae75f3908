package file_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// soon bounds what has to happen. It is no measure of speed.
const soon = 20 * time.Second

// long asks for tests that take long.
var long = os.Getenv("DLOCK_LONG") != ""

// A peer is a session with whom the tests can wait: it receives events and calls
// Apply as the contract asks for.
type peer struct {
	session backend.Session
	owners  atomic.Uint64
	wg      sync.WaitGroup
	ending  chan struct{} // closed by close
	notices chan error    // from recv

	applying sync.Mutex // Apply comes from one goroutine at a time

	mu    sync.Mutex
	turns map[uint64]chan struct{} // each holds one: sent by recv, received by who waits
	lost  map[uint64]chan struct{} // closed by recv
}

func open(t testing.TB, dir string) *peer {
	t.Helper()
	p, err := connect(file.New(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func connect(b backend.Backend) (*peer, error) {
	s, err := b.Open(context.Background(), 10*time.Second, backend.ClientInfo{})
	if err != nil {
		return nil, err
	}
	p := &peer{
		session: s,
		ending:  make(chan struct{}),
		notices: make(chan error, 8),
		turns:   make(map[uint64]chan struct{}),
		lost:    make(map[uint64]chan struct{}),
	}
	p.wg.Go(p.recv)
	p.wg.Go(p.beat)
	return p, nil
}

func (p *peer) close() {
	select {
	case <-p.ending:
	default:
		close(p.ending)
		p.session.Close(context.Background())
		p.wg.Wait()
	}
}

func (p *peer) recv() {
	for {
		events, err := p.session.Recv(context.Background())
		if err != nil {
			if !errors.Is(err, backend.ErrClosed) {
				panic(err)
			}
			return
		}
		for _, e := range events {
			p.mu.Lock()
			switch e.Kind {
			case backend.EventTurn, backend.EventGranted:
				if c := p.turns[e.Owner]; c != nil {
					select {
					case c <- struct{}{}:
					default:
					}
				}
			case backend.EventNotice:
				p.notices <- e.Err
			case backend.EventLost:
				if c := p.lost[e.Owner]; c != nil && e.Err != nil {
					select {
					case <-c:
					default:
						close(c)
					}
				}
			}
			p.mu.Unlock()
		}
	}
}

func (p *peer) beat() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.apply()
		case <-p.ending:
			return
		}
	}
}

func (p *peer) apply(ops ...backend.Op) ([]backend.Result, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	r, _, err := p.session.Apply(context.Background(), ops)
	return append([]backend.Result(nil), r...), err
}

// An acquisition is one that was asked for.
type acquisition struct {
	p    *peer
	op   backend.Op
	turn chan struct{}
	lost chan struct{}
	backend.Result
}

func mutex(name string) backend.Op {
	return backend.Op{Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Name: name}
}

func write(name string) backend.Op {
	return backend.Op{Class: backend.RWMutex, Mode: backend.Exclusive, Limit: 1, Name: name}
}

func read(name string) backend.Op {
	return backend.Op{Class: backend.RWMutex, Mode: backend.Shared, Limit: 1, Name: name}
}

func semaphore(name string, limit uint32) backend.Op {
	return backend.Op{Class: backend.Semaphore, Mode: backend.Exclusive, Limit: limit, Name: name}
}

// begin asks for a lock and does not wait for it.
func (p *peer) begin(op backend.Op) *acquisition {
	op.Do, op.Owner = backend.Acquire, p.owners.Add(1)
	a := &acquisition{p: p, op: op, turn: make(chan struct{}, 1), lost: make(chan struct{})}
	p.mu.Lock()
	p.turns[op.Owner], p.lost[op.Owner] = a.turn, a.lost
	p.mu.Unlock()
	a.again()
	return a
}

// try asks for a lock without waiting for it.
func (p *peer) try(op backend.Op) *acquisition { return p.begin(op) }

// queue asks for a lock and takes a place in its queue.
func (p *peer) queue(op backend.Op) *acquisition {
	op.Wait = true
	return p.begin(op)
}

func (a *acquisition) again() {
	r, err := a.p.apply(a.op)
	if err != nil {
		r = []backend.Result{{State: backend.Failed, Err: err}}
	}
	a.Result = r[0]
}

// wait waits until the lock is granted.
func (a *acquisition) wait() error {
	late := time.After(soon)
	for a.State == backend.Queued {
		select {
		case <-a.turn:
			a.again()
		case <-late:
			return errors.New("not granted in time")
		}
	}
	if a.State != backend.Granted {
		if a.Err != nil {
			return a.Err
		}
		return errors.New("busy")
	}
	return nil
}

func (a *acquisition) release() error {
	a.p.mu.Lock()
	delete(a.p.turns, a.op.Owner)
	delete(a.p.lost, a.op.Owner)
	a.p.mu.Unlock()
	_, err := a.p.apply(backend.Op{Do: backend.Release, Owner: a.op.Owner, Class: a.op.Class, Mode: a.op.Mode, Limit: a.op.Limit, Name: a.op.Name})
	return err
}

// lock takes a lock and waits for it.
func (p *peer) lock(t testing.TB, op backend.Op) *acquisition {
	t.Helper()
	a := p.queue(op)
	if err := a.wait(); err != nil {
		t.Fatalf("%v %.40q: %v", op.Class, op.Name, err)
	}
	return a
}

func (a *acquisition) is(t testing.TB, want backend.State) *acquisition {
	t.Helper()
	if a.State != want {
		t.Fatalf("%v %.40q: state %d (%v), want %d", a.op.Class, a.op.Name, a.State, a.Err, want)
	}
	return a
}

// isLost waits for the loss of a lock.
func (a *acquisition) isLost() bool {
	select {
	case <-a.lost:
		return true
	case <-time.After(soon):
		return false
	}
}
