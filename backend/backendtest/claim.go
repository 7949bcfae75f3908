package backendtest

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A claim is one owner of a peer: what it asked for and what came of it.
type claim struct {
	// Immutable.
	peer *peer
	op   backend.Op    // the Acquire
	turn chan *claim   // receives the claim when it is granted, once
	told chan struct{} // holds one: sent when another session is known to wait

	// Guarded by peer.mu.
	grant  backend.Grant
	queued bool
	held   bool
	gone   bool // released, or about to be
}

// claim makes a claim that is not yet applied. It is granted into turn, or into
// a channel of its own when turn is nil.
func (p *peer) claim(op backend.Op, wait bool, turn chan *claim) *claim {
	if turn == nil {
		turn = make(chan *claim, 1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	op.Do, op.Wait, op.Owner = backend.Acquire, wait, p.last
	c := &claim{peer: p, op: op, turn: turn, told: make(chan struct{}, 1)}
	p.claims[op.Owner] = c
	return c
}

// acquire asks for a lock and returns when the store has answered, be it granted
// or queued.
func (p *peer) acquire(op backend.Op) *claim { return p.acquireInto(nil, op) }

// acquireInto is acquire of a claim that is granted into turn.
func (p *peer) acquireInto(turn chan *claim, op backend.Op) *claim {
	p.f.Helper()
	c := p.claim(op, true, turn)
	if r := p.mustSend(c.op)[0]; r.State == backend.Failed {
		p.f.Fatalf("acquire %v: %v", c, r.Err)
	}
	return c
}

// take acquires a lock and waits for its grant.
func (p *peer) take(op backend.Op) *claim {
	p.f.Helper()
	c := p.acquire(op)
	c.wait()
	return c
}

// try returns the claim, or nil when the lock is busy.
func (p *peer) try(op backend.Op) *claim {
	p.f.Helper()
	c := p.claim(op, false, nil)
	switch r := p.mustSend(c.op)[0]; r.State {
	case backend.Granted:
		return c
	case backend.Busy:
		return nil
	default:
		p.f.Fatalf("try %v: state %v, %v", c, r.State, r.Err)
		return nil
	}
}

// busy fails the test unless op cannot be had at once.
func (p *peer) busy(op backend.Op) {
	p.f.Helper()
	if c := p.try(op); c != nil {
		p.f.Fatalf("%v was granted; it had to be busy", c)
	}
}

// free fails the test unless op can be had at once. It gives it back. Of a store
// without a queue, which is several servers, one that is slow may not have heard of the
// release yet: there it need not be at once.
func (p *peer) free(op backend.Op) {
	p.f.Helper()
	c := p.try(op)
	for began := time.Now(); c == nil && !p.f.Caps.Queue && time.Since(began) < p.f.Patience; time.Sleep(time.Millisecond) {
		c = p.try(op)
	}
	if c == nil {
		p.f.Fatalf("%v %.40q was busy; it had to be free", op.Class, op.Name)
	}
	c.release()
}

// wait waits for the grant.
func (c *claim) wait() backend.Grant {
	c.peer.f.Helper()
	if got := c.peer.f.next(c.turn); got != c {
		c.peer.f.Fatalf("%v was granted instead of %v", got, c)
	}
	return c.terms()
}

// next waits for the next claim that is granted into turn.
func (f *fixture) next(turn <-chan *claim) *claim {
	f.Helper()
	select {
	case c := <-turn:
		return c
	case <-time.After(f.bound()):
		f.Fatalf("nothing was granted for %v", f.bound())
		return nil
	}
}

// bound is how long to wait for what may hang on the lease of a dead session.
func (f *fixture) bound() time.Duration { return f.Patience + 2*f.TTL }

// terms returns the grant of a claim that is held.
func (c *claim) terms() backend.Grant {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.grant
}

// waiting fails the test unless the store says that the claim waits.
func (c *claim) waiting() {
	c.peer.f.Helper()
	if r := c.peer.mustSend(c.op)[0]; r.State != backend.Queued {
		c.peer.f.Fatalf("%v: state %v; it had to wait", c, r.State)
	}
}

// holding fails the test unless the store says that the claim is held.
func (c *claim) holding() {
	c.peer.f.Helper()
	if r := c.peer.mustSend(c.op)[0]; r.State != backend.Granted {
		c.peer.f.Fatalf("%v: state %v; it had to be held", c, r.State)
	}
}

// release gives back or withdraws.
func (c *claim) release() {
	c.peer.f.Helper()
	c.peer.mustSend(c.released())
}

// released returns the op of release, and counts the claim as gone.
func (c *claim) released() backend.Op {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.gone = true
	op := c.op
	op.Do, op.Wait = backend.Release, false
	return op
}

func (c *claim) String() string {
	return fmt.Sprintf("%v %.40q of owner %d", c.op.Class, c.op.Name, c.op.Owner)
}

// answered takes note of the answer to op, and checks it.
func (p *peer) answered(op *backend.Op, r *backend.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.claims[op.Owner]
	if err := misanswer(op, r); err != nil {
		p.f.Errorf("%v %.40q of owner %d: %v", op.Class, op.Name, op.Owner, err)
	}
	switch {
	case r.State == backend.Granted && c != nil:
		p.granted(c, r.Grant)
	case r.State == backend.Queued && c != nil:
		c.queued = true
	default:
		delete(p.claims, op.Owner)
	}
}

// misanswer returns why r cannot be the answer to op, or nil.
func misanswer(op *backend.Op, r *backend.Result) error {
	fits := false
	switch r.State {
	case backend.Granted:
		fits = op.Do == backend.Acquire
	case backend.Queued:
		fits = op.Do == backend.Acquire && op.Wait
	case backend.Busy:
		fits = op.Do == backend.Acquire && !op.Wait
	case backend.Failed:
		fits = op.Do == backend.Acquire && r.Err != nil
	case backend.Released:
		fits = op.Do == backend.Release
	}
	if !fits {
		return fmt.Errorf("state %d, error %v, is no answer to do %d with wait %v", r.State, r.Err, op.Do, op.Wait)
	}
	return nil
}
