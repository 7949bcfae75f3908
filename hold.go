package dlock

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/dlock-go/dlock/coordinator"
)

// A Hold is one holding of a lock, from its grant to its release. It is safe for
// concurrent use.
//
// A Hold that becomes garbage without having been released is released, with a
// warning in the log that names the lock. Its Context keeps it alive.
type Hold struct {
	*holding
	cleanup runtime.Cleanup
}

// holding is what a Hold is about. It has no way back to the Hold, which would
// never become garbage otherwise.
type holding struct {
	parent context.Context
	parts  []part
	single [1]part // the room of parts for the usual case

	mu       sync.Mutex
	over     error // why it ended; nil while held
	watching bool  // the parts tell of their end
	ctx      context.Context
	cancel   context.CancelCauseFunc
	lost     chan struct{}
	released bool
}

// A part is one lock of a hold.
type part struct {
	side  *side
	claim *coordinator.Claim
}

func newHold(parent context.Context, parts ...part) *Hold {
	h := &Hold{holding: &holding{parent: parent}}
	h.parts = append(h.single[:0], parts...)
	h.cleanup = runtime.AddCleanup(h, (*holding).abandon, h.holding)
	return h
}

// Context returns a context with the values of the one that was given to Acquire,
// but not its end. It is done when the hold is released or lost, and
// context.Cause tells which: ErrReleased or ErrLost.
func (h *Hold) Context() context.Context {
	h.mu.Lock()
	if h.ctx == nil {
		h.ctx, h.cancel = context.WithCancelCause(h.parent)
		if h.over != nil {
			h.cancel(h.over)
		}
	}
	ctx := h.ctx
	h.mu.Unlock()
	h.watch()
	return holdContext{ctx, h}
}

// Lost returns a channel that is closed when the hold is lost, and only then.
func (h *Hold) Lost() <-chan struct{} {
	h.mu.Lock()
	if h.lost == nil {
		h.lost = make(chan struct{})
		if errors.Is(h.over, ErrLost) {
			close(h.lost)
		}
	}
	lost := h.lost
	h.mu.Unlock()
	h.watch()
	return lost
}

// Err returns nil while the lock is held, and otherwise an error that matches
// ErrReleased or ErrLost. It looks at the deadline of the lease itself, so that a
// process that was stopped learns at once that its time is over.
func (h *Hold) Err() error {
	for _, p := range h.parts {
		if err := p.claim.Ended(); err != nil {
			h.end(p.side.describe("hold", err))
			break
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// Deadline returns when the hold is lost unless the store is heard from before.
// It moves on with every renewal, so who acts on it looks again: a deadline that
// comes near means that the store has not answered for that long, and leaves the
// time until then to come to an orderly end. The time is one of this process, with
// a monotonic reading, and before that at which the store may grant the lock to
// somebody else. ok is false where the store works without leases, and once the
// hold is over.
func (h *Hold) Deadline() (deadline time.Time, ok bool) {
	if h.Err() != nil {
		return time.Time{}, false
	}
	for _, p := range h.parts {
		if d, has := p.claim.Deadline(); has && (!ok || d.Before(deadline)) {
			deadline, ok = d, true
		}
	}
	return deadline, ok
}

// Token returns the fencing token of the hold. No two holds of a lock have the
// same, and the token of a mutex or a write lock is greater than those of all
// holds before it, over restarts too: a resource that remembers the greatest
// token that it has seen, and refuses smaller ones, refuses a holder whose time
// is over. Among those who hold at the same time, readers or the holders of a
// semaphore's tickets, the order of the tokens says nothing. ok is false where
// the store has no tokens, and for a Composite.
func (h *Hold) Token() (token uint64, ok bool) {
	if len(h.parts) != 1 {
		return 0, false
	}
	token = h.parts[0].claim.Token
	return token, token != 0
}

// Release gives the lock back. It waits until the store has acknowledged that,
// but at most 5 s or the TTL, and when ctx ends, or has ended already, lets the
// release go on in the background. After a loss it returns ErrLost. A second
// Release does nothing.
func (h *Hold) Release(ctx context.Context) error {
	h.cleanup.Stop()
	err := h.holding.release(ctx)
	runtime.KeepAlive(h)
	return err
}

// do runs f while the lock is held.
func (h *Hold) do(f func(ctx context.Context) error) (err error) {
	defer func() {
		lost := h.Err()
		if unconfirmed := h.Release(context.WithoutCancel(h.parent)); unconfirmed != nil && lost == nil {
			if errors.Is(unconfirmed, ErrLost) {
				lost = unconfirmed
			} else {
				h.parts[0].side.client.logger.Warn("dlock: release not confirmed", "error", unconfirmed)
			}
		}
		if errors.Is(lost, ErrLost) {
			err = errors.Join(err, lost)
		}
	}()
	return f(h.Context())
}

// watch has the parts tell of their end from now on. What nobody asks for is not
// set up.
func (h *holding) watch() {
	h.mu.Lock()
	watching := h.watching
	h.watching = true
	h.mu.Unlock()
	if watching {
		return
	}
	for _, p := range h.parts {
		p.claim.Notify(func(err error) { h.end(p.side.describe("hold", err)) })
	}
}

// end marks the hold as over. The first reason stands.
func (h *holding) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil {
		return
	}
	h.over = err
	if errors.Is(err, ErrLost) {
		// The span of the acquisition is over. That of the work is not.
		trace.SpanFromContext(h.parent).AddEvent(eventLost)
	}
	if h.cancel != nil {
		h.cancel(err)
	}
	if h.lost != nil && errors.Is(err, ErrLost) {
		close(h.lost)
	}
}

func (h *holding) release(ctx context.Context) error {
	h.mu.Lock()
	again := h.released
	h.released = true
	h.mu.Unlock()
	if again {
		return nil
	}
	// Its own context ends before anybody else can hold the lock.
	h.end(ErrReleased)
	var errs []error
	for i := len(h.parts) - 1; i >= 0; i-- {
		p := h.parts[i]
		if err := p.side.release(ctx, p.claim); err != nil {
			errs = append(errs, p.side.describe("release", err))
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// abandon releases a hold that became garbage. It runs on the garbage collector's
// goroutine and does not wait.
func (h *holding) abandon() {
	s := h.parts[0].side
	s.client.logger.Warn("dlock: a hold became garbage without having been released",
		"class", s.class.String(), "name", plain(s.name), "backend", s.client.backend)
	h.end(ErrReleased)
	go h.discard()
}

func (h *holding) discard() {
	for _, p := range h.parts {
		p.side.client.coordinator.Discard(p.claim)
	}
}

// holdContext is a context that looks at the deadline of its hold when it is
// asked: after a stop of the process no timer may have fired yet. It keeps the
// hold from becoming garbage.
type holdContext struct {
	context.Context
	hold *Hold
}

func (c holdContext) Err() error {
	_ = c.hold.Err()
	return c.Context.Err()
}

func (c holdContext) Done() <-chan struct{} {
	_ = c.hold.Err()
	return c.Context.Done()
}
