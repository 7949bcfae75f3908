package backendtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A peer is one session, and does what the contract asks of whoever has one: it
// calls Apply and Recv from one goroutine each, keeps the leases alive, sends
// again what is Unknown or refused for now, and what an event says to apply again. It fails the test
// when an answer or an event breaks the contract, whatever the check is about.
type peer struct {
	// Immutable.
	f       *fixture
	session backend.Session
	who     backend.ClientInfo
	life    context.Context // of the calls of session; outlasts Close
	kill    context.CancelFunc
	batches chan batch    // sent by send, received by run; never closed
	again   chan struct{} // holds one: sent by recv when claims are to be applied again, received by run
	ending  chan struct{} // closed by end
	stopped chan struct{} // closed by run when it returns
	resent  atomic.Int64  // ops that were sent again without an answer
	running sync.WaitGroup

	// Owned by run.
	leases leases

	mu     sync.Mutex
	last   uint64 // owner given out
	claims map[uint64]*claim
	turns  map[uint64]bool // owners to be applied again
	ended  bool
	err    error // why the session died
}

// A batch is a request to run.
type batch struct {
	ops    []backend.Op
	answer chan []backend.Result // holds one: sent by run, nil when the session died
}

// peer opens a session in a process of its own. It ends with the test.
func (f *fixture) peer() *peer {
	f.Helper()
	p, err := f.connect(f.open(), f.clientInfo())
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// connect opens a session with b. Other than peer it may be called from any
// goroutine.
func (f *fixture) connect(b backend.Backend, who backend.ClientInfo) (*peer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
	defer cancel()
	session, err := b.Open(ctx, f.TTL, who)
	if err != nil {
		return nil, fmt.Errorf("Open: %w", err)
	}
	p := &peer{
		f:       f,
		session: session,
		who:     who,
		batches: make(chan batch),
		again:   make(chan struct{}, 1),
		ending:  make(chan struct{}),
		stopped: make(chan struct{}),
		leases:  make(leases),
		claims:  make(map[uint64]*claim),
		turns:   make(map[uint64]bool),
	}
	p.life, p.kill = context.WithCancel(context.Background())
	p.running.Add(2)
	go p.run()
	go p.recv()
	f.Cleanup(p.close)
	return p, nil
}

// close ends the session in order.
func (p *peer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), p.f.Patience)
	defer cancel()
	p.end(ctx)
}

// crash ends the session as if its process had been killed.
func (p *peer) crash() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.end(ctx)
}

func (p *peer) end(ctx context.Context) {
	p.mu.Lock()
	ended := p.ended
	p.ended = true
	p.mu.Unlock()
	if ended {
		return
	}
	close(p.ending)
	if err := p.session.Close(ctx); err != nil && ctx.Err() == nil {
		p.f.Errorf("Close: %v", err)
	}
	// Close alone has to make Apply and Recv return; kill is for drivers in
	// which it does not.
	late := time.AfterFunc(p.f.Patience, func() {
		p.f.Errorf("Apply or Recv has not returned %v after Close", p.f.Patience)
		p.kill()
	})
	p.running.Wait()
	late.Stop()
	p.kill()
}

// run is the one goroutine that calls Apply.
func (p *peer) run() {
	defer p.running.Done()
	defer close(p.stopped)
	beat := time.NewTicker(min(p.f.TTL/3, time.Second)) // an owner may be Queued at any time
	defer beat.Stop()
	for {
		var b batch
		select {
		case b = <-p.batches:
		case <-p.again:
			b.ops = p.due()
		case <-beat.C:
		case <-p.ending:
			return
		}
		results, err := p.apply(b.ops)
		if b.answer != nil {
			b.answer <- results
		}
		if err != nil {
			p.died(fmt.Errorf("Apply: %w", err))
			return
		}
	}
}

// recv is the one goroutine that calls Recv.
func (p *peer) recv() {
	defer p.running.Done()
	for {
		events, err := p.session.Recv(p.life)
		if err != nil {
			p.died(fmt.Errorf("Recv: %w", err))
			return
		}
		if len(events) == 0 {
			p.f.Error("Recv returned neither an event nor an error")
		}
		for _, e := range events {
			p.event(e)
		}
	}
}

func (p *peer) died(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended && p.err == nil {
		p.err = err
		p.f.Errorf("the session died: %v", err)
	}
}

// send has run apply ops in one batch, and returns an error when the session is
// dead or closed. It may be called from any goroutine.
func (p *peer) send(ops ...backend.Op) ([]backend.Result, error) {
	b := batch{ops: ops, answer: make(chan []backend.Result, 1)}
	select {
	case p.batches <- b:
	case <-p.stopped:
		return nil, errDead
	}
	if results := <-b.answer; results != nil {
		return results, nil
	}
	return nil, errDead
}

var errDead = errors.New("the session is dead")

// mustSend is send for the goroutine of the test.
func (p *peer) mustSend(ops ...backend.Op) []backend.Result {
	p.f.Helper()
	results, err := p.send(ops...)
	if err != nil {
		p.f.Fatal(err)
	}
	return results
}

// apply applies ops until all of them have an answer. A large batch may take its time,
// as long as it gets on.
func (p *peer) apply(ops []backend.Op) ([]backend.Result, error) {
	ctx, cancel := context.WithCancel(p.life)
	defer cancel()
	stuck := time.AfterFunc(p.f.Patience, cancel)
	defer stuck.Stop()
	results := make([]backend.Result, len(ops))
	unanswered := make([]int, len(ops))
	for i := range ops {
		unanswered[i] = i
	}
	for {
		sent := make([]backend.Op, 0, len(unanswered))
		for _, i := range unanswered {
			sent = append(sent, ops[i])
		}
		before := time.Now()
		got, reported, err := p.session.Apply(ctx, sent)
		if err != nil {
			return nil, err
		}
		if err := p.leases.note(before, p.f.TTL, got, reported); err != nil {
			p.f.Error(err)
		}
		if len(got) != len(sent) {
			return nil, fmt.Errorf("%d results for %d ops", len(got), len(sent))
		}
		clear(sent) // a driver that has kept it will be surprised
		unknown := unanswered[:0]
		for j, i := range unanswered {
			results[i] = got[j]
			if got[j].State == backend.Unknown || got[j].State == backend.Refused {
				unknown = append(unknown, i)
				p.resent.Add(1)
			} else {
				p.answered(&ops[i], &results[i])
			}
		}
		if len(unknown) == 0 {
			return results, nil
		}
		if len(unknown) < len(sent) {
			stuck.Reset(p.f.Patience)
		}
		unanswered = unknown
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%d ops have no answer still, the last for %v", len(unknown), results[unknown[0]].Err)
		}
	}
}
