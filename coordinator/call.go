package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// This file has what goroutines of the client call, and what their errors say.

// Open makes sure that there is a session. It reports why the first attempt to
// open one failed. ctx alone bounds the attempt.
func (c *Coordinator) Open(ctx context.Context) error {
	opened := make(chan error, 1)
	c.send(message{kind: open, opener: opener{ctx, opened}})
	select {
	case err := <-opened:
		return err
	case <-ctx.Done():
	}
	select { // The driver knows what it was waiting for.
	case err := <-opened:
		if err == nil || errors.Is(err, ctx.Err()) {
			return err
		}
		return fmt.Errorf("%w: %w", reason(ctx), err)
	case <-time.After(orderly):
		return reason(ctx)
	}
}

// reason returns why ctx has ended: its error, and its cause if that is another.
func reason(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Acquire submits a claim and waits until it is granted. It returns the error of
// ctx when that ends first, ErrBusy for a try of what is held, ErrClosed, or the
// store's refusal. A try is answered in bounded time even by a store that does
// not answer.
func (c *Coordinator) Acquire(ctx context.Context, claim *Claim) error {
	if ctx.Err() != nil {
		return reason(ctx)
	}
	if ready, ok := c.readies.Get().(chan struct{}); ok {
		claim.ready = ready
	} else {
		claim.ready = make(chan struct{}, 1)
	}
	c.send(message{kind: submit, claim: claim})
	if ctx.Done() == nil {
		<-claim.ready
		return claim.Err
	}
	asked := time.Now()
	select {
	case <-claim.ready:
		return claim.Err
	case <-ctx.Done():
		claim.gaveUp.Store(true)
		c.send(message{kind: cancel, claim: claim})
		if trouble := c.troubled(asked); trouble != nil {
			return fmt.Errorf("%w (%w)", reason(ctx), trouble)
		}
		return reason(ctx)
	}
}

// troubled returns what keeps the store from answering somebody who has waited since
// asked, or nil when it is not known to be in trouble.
func (c *Coordinator) troubled(asked time.Time) error {
	if trouble := c.trouble.Load(); trouble != nil {
		return *trouble
	}
	// An answer is awaited most of the time. It counts if it has been so for most of the
	// wait, or for long.
	silence := c.link.Silence()
	if silence >= longSilence || silence > 0 && silence >= time.Since(asked)/2 {
		return fmt.Errorf("no answer from the store for %v", silence.Round(time.Millisecond))
	}
	return nil
}

// longSilence is more than a store that works takes for an answer.
const longSilence = time.Second

// Release gives back what the claim holds. It waits for the store's answer until
// ctx ends, but not for ever, and then lets the release go on in the background.
// Its error tells that the hold was over before, or that the session ended
// before the release was confirmed.
func (c *Coordinator) Release(ctx context.Context, claim *Claim) error {
	err := claim.Ended()
	if err != nil || claim.inherited() {
		// It is over, or will be handed on here: there is no answer of the store
		// to wait for.
		c.ReleaseLater(claim)
		c.part(claim)
		return err
	}
	c.send(message{kind: release, claim: claim})
	if ctx.Done() == nil {
		<-claim.ready
		c.part(claim)
		return claim.Err
	}
	select {
	case <-claim.ready:
		c.part(claim)
		return claim.Err
	case <-ctx.Done():
		return nil
	}
}

// part takes a claim's channel away, once its last answer was received or none
// will come.
func (c *Coordinator) part(claim *Claim) {
	if claim.ready != nil {
		c.readies.Put(claim.ready)
		claim.ready = nil
	}
}

// ReleaseLater gives back what the claim holds and does not wait.
func (c *Coordinator) ReleaseLater(claim *Claim) {
	claim.quiet = true
	c.send(message{kind: release, claim: claim})
}

// Close refuses what waits and what comes, gives back what is held, and returns
// when that is done and the coordinator's goroutines are gone. When ctx ends
// first the rest is left to end with the session, and ctx's error is returned; a
// driver that is slow to let go goes on with that on its own. A second Close waits for
// the first, until its own ctx ends.
func (c *Coordinator) Close(ctx context.Context) error {
	c.send(message{kind: closing, ctx: ctx})
	select {
	case <-c.done:
		if ctx.Err() != nil {
			return reason(ctx)
		}
		return nil
	case <-ctx.Done():
	}
	c.send(message{kind: closeExpired, ctx: ctx})
	select {
	case <-c.done:
	case <-time.After(orderly):
	}
	return reason(ctx)
}
