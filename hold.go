package dlock

import (
	"context"
	"errors"
	"fmt"
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
// warning in the log that names the lock. Its Context keeps it alive, and so does what
// is derived from that: after [context.AfterFunc] on it, or with a context.WithCancel of
// it that is never cancelled, a Hold that is forgotten is never released. The channel
// of Lost does not keep it.
type Hold struct {
	*holding
	cleanup runtime.Cleanup
}

// holding is what a Hold is about. It has no way back to the Hold, which would
// never become garbage otherwise.
type holding struct {
	// Immutable.
	parent context.Context
	span   trace.Span // of parent, when it records; nil otherwise
	parts  []part
	single [1]part // the room of parts for the usual case

	mu       sync.Mutex
	over     error // why it ended; nil while held
	watching bool  // the parts tell of their end
	ctx      context.Context
	cancel   context.CancelCauseFunc
	foreign  bool // cancel may call what the program has made of contexts
	lost     chan struct{}
	traced   bool // the span was told of the loss
	released bool
}

// A part is one lock of a hold.
type part struct {
	lockRef *lockRef
	claim   *coordinator.Claim
}

func newHold(parent context.Context, parts ...part) *Hold {
	h := &Hold{holding: &holding{parent: parent}}
	if span := trace.SpanFromContext(parent); span.IsRecording() {
		h.span = span
	}
	h.parts = append(h.single[:0], parts...)
	h.cleanup = runtime.AddCleanup(h, (*holding).abandon, h.holding)
	return h
}

// Context returns a context with the values of the one that was given to Acquire,
// but not its end. It is done when the hold is released or lost, and
// context.Cause tells which: ErrReleased or ErrLost.
func (h *Hold) Context() context.Context {
	h.mu.Lock()
	ctx := h.ctx
	h.mu.Unlock()
	if ctx == nil {
		ctx = h.derive()
	}
	h.watch()
	return holdContext{ctx, h}
}

// derive makes the context of the hold. It asks parent without the lock, for which
// the coordinator must not wait.
func (h *holding) derive() context.Context {
	ctx, cancel := context.WithCancelCause(h.parent)
	foreign := h.parent.Done() != nil
	h.mu.Lock()
	if h.ctx == nil {
		h.ctx, h.cancel, h.foreign = ctx, cancel, foreign
	} else {
		defer cancel(nil) // Somebody else was faster.
	}
	ctx = h.ctx
	h.mu.Unlock()
	h.endContext()
	return ctx
}

// Lost returns a channel that is closed when the hold is lost, or when it became
// garbage and is therefore released: whoever has the channel alone hears that the lock
// is no longer held. A Release does not close it, and neither does [Client.Close].
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
			h.end(p.lockRef.describe("hold", err))
			break
		}
	}
	h.mu.Lock()
	over := h.over
	h.mu.Unlock()
	if over != nil {
		h.endContext() // It may not have come to that yet.
	}
	return over
}

// Deadline returns when the hold is lost unless the store is heard from before.
// It moves on with every renewal, so look at it again before you act on it: a deadline
// that draws near means the store has stopped answering; use the remaining time to
// shut down cleanly. The time is one of this process, with
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

// Token returns the fencing token of the hold. It fits into an int64, the BIGINT of
// SQL, and is greater than 0; where a store counts by a clock that holds until the year
// 2091. No two holds of a lock have the same token, and the token of a mutex or a write lock is greater than those of all
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
		released := h.Release(context.WithoutCancel(h.parent))
		h.parts[0].lockRef.client.unconfirmed(released)
		if lost == nil {
			lost = released
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
		p.claim.Notify(func(err error) { h.hear(p.lockRef.describe("hold", err)) })
	}
}

// end marks the hold as over and ends its context. The first reason stands.
func (h *holding) end(err error) {
	h.mark(err)
	h.endContext()
}

// hear is end for the coordinator and the garbage collector, which do not wait for the
// program's code.
func (h *holding) hear(err error) {
	h.mark(err)
	h.mu.Lock()
	foreign := h.foreign
	h.mu.Unlock()
	if foreign {
		go h.endContext()
	} else {
		h.endContext()
	}
}

func (h *holding) mark(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil {
		return
	}
	h.over = err
	lost := errors.Is(err, ErrLost)
	if lost {
		h.trace()
	}
	if h.lost != nil && (lost || err == errAbandoned) {
		close(h.lost)
	}
}

// endContext ends the context of a hold that is over, if there is one.
func (h *holding) endContext() {
	h.mu.Lock()
	cancel, over := h.cancel, h.over
	h.mu.Unlock()
	if cancel != nil && over != nil {
		cancel(over)
	}
}

// trace tells the span in which the lock was acquired of the loss, once. The span of
// the acquisition is over; that of the work is not. h.mu is held.
func (h *holding) trace() {
	if h.span != nil && !h.traced {
		h.traced = true
		c := h.parts[0].lockRef.client
		c.spans.Go(func() { c.traceLoss(h.span) })
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
		if err := p.lockRef.release(ctx, p.claim); err != nil {
			errs = append(errs, p.lockRef.describe("release", err))
		}
	}
	err := errors.Join(errs...)
	if len(errs) == 1 {
		err = errs[0]
	}
	if errors.Is(err, ErrLost) { // Perhaps nobody knew of it.
		h.mu.Lock()
		h.trace()
		h.mu.Unlock()
	}
	return err
}

// errAbandoned ends the holds that become garbage.
var errAbandoned = fmt.Errorf("%w: nobody had it any longer", ErrReleased)

// abandon releases a hold that became garbage. It runs on the garbage collector's
// goroutine and does not wait.
func (h *holding) abandon() {
	if over := lostOf(h.parts); over != nil {
		h.hear(over) // The loss was told, or Close has given it back.
	} else {
		s := h.parts[0].lockRef
		s.client.logger.Warn("dlock: a hold became garbage without having been released",
			"class", s.class.String(), "name", plain(s.name), "backend", s.client.backend)
		h.hear(errAbandoned)
	}
	go h.discard()
}

func (h *holding) discard() {
	for _, p := range h.parts {
		p.lockRef.client.coordinator.ReleaseLater(p.claim)
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
