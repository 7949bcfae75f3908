package coordinator

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/chain"
	"github.com/dlock-go/dlock/session"
)

// A Claim is one goroutine's wish for a lock, from the request to the release.
// It is a waiter first and a holder afterwards, and used once.
//
// The goroutine that made it waits on ready, first for the grant or the refusal
// and then for the answer to its release. Both always come, unless it cancels.
type Claim struct {
	// Immutable once submitted.
	Class backend.Class
	Mode  backend.Mode
	Try   bool // do not wait: granted at once or refused with ErrBusy
	Limit uint32
	Name  string

	// quiet is set with the release by a goroutine that does not wait for the
	// answer to it.
	quiet bool

	// ready receives one value when the claim is granted or refused, and
	// another one when its release is done. Sent by the coordinator, which
	// never blocks on it; never closed. The claim has it from when it is
	// submitted until its last answer was received.
	ready chan struct{}

	// Set by the coordinator before it sends on ready, and not changed before
	// the next message of the claim's goroutine.
	Err   error  // why the claim was refused, or its release not confirmed
	Token uint64 // the fencing token, or 0
	Via   Via    // how it was granted

	// lease is what the hold depends on. The coordinator sets it with the grant
	// and may put another one in its place later.
	lease atomic.Pointer[session.Lease]

	// successor is who in this process waits for the lock next, so that it will stay
	// here. The machine sets it on the holder, as a hint. gaveUp is set by the
	// claim's own goroutine before Acquire returns without a grant.
	successor atomic.Pointer[Claim]
	ahead     atomic.Int32 // see Ahead; set by the machine
	gaveUp    atomic.Bool

	// Owned by the machine.
	state claimState
	seq   uint64            // order of arrival
	since time.Time         // when it was submitted, or its release called
	lock  *lock             // while waiting
	entry *entry            // while held, and while a try is under way
	link  chain.Link[Claim] // in the queue it stands in

	loss loss
}

// Via is how a claim came to its grant.
type Via uint8

const (
	// Store: by the store's first answer.
	Store Via = iota + 1
	// Queue: by the store, after it had waited there.
	Queue
	// Memory: from another claim of the process, or beside it, without a word to
	// the store.
	Memory
)

type claimState uint8

const (
	fresh claimState = iota
	waiting
	held
	leaving // released, the store's answer is awaited
	ended
)

// loss is how a holder hears that it no longer holds.
type loss struct {
	mu   sync.Mutex
	err  error       // why, once it is over
	tell func(error) // called once when it is over
}

// NewClaim returns a claim that has not been submitted.
func NewClaim(class backend.Class, name string, limit uint32, mode backend.Mode, try bool) *Claim {
	return &Claim{Class: class, Mode: mode, Try: try, Limit: limit, Name: name}
}

// Ahead returns how many claims of this process waited for the same when this one
// came, as far as it has come to the coordinator by now.
func (c *Claim) Ahead() int { return int(c.ahead.Load()) }

// Ended returns why the hold is over although its holder did not release it, and
// nil otherwise. It looks at the deadline itself and does not wait for anybody's
// timer to fire.
func (c *Claim) Ended() error {
	if l := c.lease.Load(); l != nil && l.Lapsed() {
		c.end(ErrLapsed)
	}
	c.loss.mu.Lock()
	defer c.loss.mu.Unlock()
	return c.loss.err
}

// Deadline returns when the hold will be over unless its lease is renewed by then.
// ok is false when there is no such time.
func (c *Claim) Deadline() (deadline time.Time, ok bool) {
	l := c.lease.Load()
	if l == nil {
		return time.Time{}, false
	}
	until, ok := l.Until()
	if !ok {
		return time.Time{}, false
	}
	return time.Now().Add(time.Duration(until - session.Now())), true
}

// Notify has tell called once, when the hold ends without its holder's doing, or
// at once when it has. tell must not block.
func (c *Claim) Notify(tell func(error)) {
	c.loss.mu.Lock()
	err := c.loss.err
	if err == nil {
		c.loss.tell = tell
	}
	c.loss.mu.Unlock()
	if err != nil {
		tell(err)
	}
}

// inherited reports whether somebody of this process waits for the lock that c
// holds.
func (c *Claim) inherited() bool {
	successor := c.successor.Load()
	return successor != nil && !successor.gaveUp.Load()
}

// end marks the hold as over, by the coordinator's decision or because somebody
// looked at the deadline. The first reason stands. It reports whether it was the
// first.
func (c *Claim) end(err error) bool {
	c.loss.mu.Lock()
	if c.loss.err != nil {
		c.loss.mu.Unlock()
		return false
	}
	c.loss.err = err
	tell := c.loss.tell
	c.loss.tell = nil
	c.loss.mu.Unlock()
	if tell != nil {
		tell(err)
	}
	return true
}

// answer wakes the claim's goroutine, if it still listens.
func (c *Claim) answer() {
	if c.quiet {
		return
	}
	select {
	case c.ready <- struct{}{}:
	default: // It had given up, and the answer before this one still lies there.
	}
}
