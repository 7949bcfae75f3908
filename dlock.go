// Package dlock provides locks that hold across processes and machines, with an
// API modelled on package sync.
//
// A program opens a [Client] on a store that it already uses and gets [Mutex],
// [RWMutex] and [Semaphore] values from it by name. Whoever has the same store
// and the same name has the same lock. The drivers are packages of their own: a
// program links those that it imports.
//
//	import (
//		"github.com/dlock-go/dlock"
//		_ "github.com/dlock-go/dlock/backend/file"
//	)
//
//	locks, err := dlock.Open(ctx, "file:///var/lock/app")
//	…
//	mu := locks.Mutex("invoices/2026-11")
//	mu.Lock()
//	defer mu.Unlock()
//
// Each lock can be used in three ways. Lock and Unlock are those of package
// sync. LockContext and its like take a context and return errors. Acquire
// returns a [Hold], which tells when the lock is lost, and has a fencing token
// that lets a resource reject a stale holder; Do wraps that around a function.
//
// One coordinator goroutine per client owns the session with the store. All
// goroutines that want locks are waiters in its memory: ten thousand of them
// are one connection and, for each name, one place in the store's queue.
//
// A distributed lock can be lost: the store may restart, a file be removed, a
// process be stopped for longer than its lease. Then the hold's context ends and
// [Hold.Err] returns [ErrLost]. Between two checks the work is unprotected;
// operations that must never overlap also need the fencing token.
package dlock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
	"github.com/dlock-go/dlock/internal/serial"
)

// A Provider gives locks by name. Application code that depends on it and not on
// a [*Client] can be handed any client, in tests one on memory.New().
type Provider interface {
	// Mutex returns the mutex of a name.
	Mutex(name string) *Mutex
	// RWMutex returns the reader-writer lock of a name.
	RWMutex(name string) *RWMutex
	// Semaphore returns the semaphore of a name, with limit tickets.
	Semaphore(name string, limit int) *Semaphore
}

var _ Provider = (*Client)(nil)

// A Client is one party to the locks of a store. Its goroutines share one
// session; two clients exclude each other like two processes. It is safe for
// concurrent use and lives until Close.
//
// With [WithTracerProvider] it records a span "dlock.acquire" for each wait and a
// span "dlock.release" for each release, as children of the span of the caller's
// context; those of Lock and Unlock, which have no context, are roots. A hold
// that is lost is an event "dlock.lost" and an error of its release, and an event
// in the span in which it was acquired. The attributes are:
//
//	dlock.name      the name of the lock; see WithTraceName
//	dlock.class     mutex, rwmutex, semaphore
//	dlock.mode      exclusive, shared
//	dlock.backend   the store, without secrets
//	dlock.try       true for the Try methods
//	dlock.outcome   granted, busy, timeout, cancelled, closed, limit, name, unsupported, failed;
//	                of a release: released, lost, failed
//	dlock.via       how it was granted: store (at once), queue (after waiting there), memory
//	                (handed on in the process)
//	dlock.position  how many goroutines of the process waited already
//	dlock.token     the fencing token, in decimal
//	error.type      the outcome, when it is an error
type Client struct {
	coordinator *coordinator.Coordinator
	store       backend.Backend
	backend     string // its name
	options     options

	// The program's code runs on these, and never on the coordinator's goroutine.
	logger *slog.Logger // puts lines into logs
	logs   *logQueue
	losses serial.Queue // for the loss handler
	spans  serial.Queue // for events of spans that are under way

	closing chan struct{} // closed by the first Close
	closed  sync.Once     // that is done
	own     *ownStore     // nil for a store that the client was given
}

// Open returns a client on the store that rawURL names, after it has opened a
// session: a store out of reach is an error here. The driver of the URL's scheme
// must be imported. ctx bounds the opening alone.
func Open(ctx context.Context, rawURL string, opts ...Option) (*Client, error) {
	b, err := backend.FromURL(rawURL)
	if err != nil {
		return nil, err
	}
	c, err := New(b, opts...)
	if err != nil {
		if closer, ok := b.(backend.Closer); ok {
			err = errors.Join(err, closer.Close(ctx))
		}
		return nil, err
	}
	if closer, ok := b.(backend.Closer); ok {
		c.own = &ownStore{backend: closer, done: make(chan struct{})}
	}
	if err := c.coordinator.Open(ctx); err != nil {
		_ = c.Close(ctx) // Nothing is held yet.
		return nil, fmt.Errorf("dlock: open %s: %w", b, err)
	}
	return c, nil
}

// New returns a client on a store. It does not connect before a lock is used.
func New(b backend.Backend, opts ...Option) (*Client, error) {
	if b == nil {
		return nil, errors.New("dlock: nil backend")
	}
	o := options{ttl: defaultTTL, handoff: defaultHandoff, logger: slog.Default()}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	c := &Client{store: b, backend: b.String(), options: o, logs: newLogQueue(o.logger.Handler()), closing: make(chan struct{})}
	c.logger = slog.New(c.logs)
	c.coordinator = coordinator.New(coordinator.Config{
		Backend:    b,
		TTL:        o.ttl,
		ClientInfo: self(o.reason),
		Handoff:    o.handoff,
		Logger:     c.logger,
		OnLoss:     c.lost,
		OnLate:     c.late,
	})
	return c, nil
}

// Close ends the client. What comes or waits fails with [ErrClosed], what is held
// is given back, and its holders find [ErrReleased]. A Lock that waits panics: who
// closes a client while others may still wait, as a server does, has them use
// LockContext.
//
// Close returns when the store has acknowledged that, the loss handler and the log
// are through, and no goroutine of the client is left. When ctx ends first, what is
// still held ends with the session, as it does when a process is killed, and ctx's
// error is returned. A second Close waits for the first until its own ctx ends. A loss
// handler may call Close, which then does not wait for loss handlers.
func (c *Client) Close(ctx context.Context) error {
	c.closed.Do(func() { close(c.closing) })
	err := c.coordinator.Close(ctx)
	err = cmp.Or(err, c.own.close(ctx, c.coordinator), c.settle(ctx))
	if err != nil {
		return fmt.Errorf("dlock: close %s: %w", c.backend, err)
	}
	return nil
}

// settle waits until the program's code has heard of everything. That code itself may
// be what closes the client.
func (c *Client) settle(ctx context.Context) error {
	for _, q := range []struct {
		queue *serial.Queue
		runs  any
	}{
		{&c.losses, (*Client).tellLoss},
		{&c.spans, (*Client).traceLoss},
		{c.logs.queue, (*logQueue).write}, // The others may log.
	} {
		if !running(q.runs) {
			if err := q.queue.Wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Mutex returns the mutex of a name. Two values of the same name are the same
// lock. A name is any string of 1 byte to 1 MiB; a bad one is reported by the
// first call on the value.
func (c *Client) Mutex(name string) *Mutex {
	return &Mutex{locker{lockRef: c.lockRef(backend.Mutex, backend.Exclusive, name, 1)}}
}

// RWMutex returns the reader-writer lock of a name. It is another lock than the
// mutex of that name.
func (c *Client) RWMutex(name string) *RWMutex {
	return &RWMutex{
		locker: locker{lockRef: c.lockRef(backend.RWMutex, backend.Exclusive, name, 1)},
		read:   locker{lockRef: c.lockRef(backend.RWMutex, backend.Shared, name, 1)},
	}
}

// Semaphore returns the semaphore of a name, with limit tickets. All who use it at
// the same time have to agree on the limit. One that is less than 1 is reported by
// the first call on the value. With one that is not that of the others, calls wait
// until nobody uses theirs any longer, and a try fails with ErrLimit.
func (c *Client) Semaphore(name string, limit int) *Semaphore {
	s := c.lockRef(backend.Semaphore, backend.Exclusive, name, 1)
	if limit < 1 || int64(limit) > maxLimit {
		s.bad = fmt.Errorf("%w: %d is not in 1…%d", ErrLimit, limit, maxLimit)
	}
	s.limit = uint32(limit)
	return &Semaphore{locker{lockRef: s}}
}

const (
	maxLimit = 1<<31 - 1
	maxName  = 1 << 20
)

// lockRef returns one way to take one lock.
func (c *Client) lockRef(class backend.Class, mode backend.Mode, name string, limit uint32) lockRef {
	s := lockRef{client: c, class: class, mode: mode, name: name, limit: limit}
	switch {
	case name == "":
		s.bad = fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > maxName:
		s.bad = fmt.Errorf("%w: it has %d bytes, more than 1 MiB", ErrName, len(name))
	}
	return s
}

// key returns the name of a lock at the store. Different pairs of namespace and
// name have different keys, and a name without namespace is its own key unless
// it looks like one with a namespace.
func (c *Client) key(name string) string {
	if c.options.namespace == "" && !strings.HasPrefix(name, "\x00") {
		return name
	}
	return "\x00" + c.options.namespace + "\x00" + name
}

// name returns the name that has this key.
func (c *Client) name(key string) string {
	if strings.HasPrefix(key, "\x00") {
		return strings.TrimPrefix(key, "\x00"+c.options.namespace+"\x00")
	}
	return key
}

// lost tells of the loss of a claim. The coordinator calls it.
func (c *Client) lost(claim *coordinator.Claim, err error) {
	loss := Loss{
		Class:   claim.Class.String(),
		Name:    c.name(claim.Name),
		Backend: c.backend,
		Token:   claim.Token,
		Err:     err,
	}
	c.logger.Warn("dlock: lock lost", "class", loss.Class, "name", plain(loss.Name), "backend", loss.Backend, "error", err)
	if c.options.onLoss != nil {
		c.losses.Go(func() { c.tellLoss(loss) })
	}
}

// late tells of a release that takes its time. The coordinator calls it.
func (c *Client) late(claim *coordinator.Claim) {
	c.logger.Warn("dlock: release not confirmed yet; it goes on in the background",
		"class", claim.Class.String(), "name", plain(c.name(claim.Name)), "backend", c.backend)
}

// unconfirmed logs of the errors of a release those that tell of no loss, which is
// logged already.
func (c *Client) unconfirmed(err error) {
	if all, ok := err.(interface{ Unwrap() []error }); ok { // of a composite
		for _, err := range all.Unwrap() {
			c.unconfirmed(err)
		}
		return
	}
	if err != nil && !errors.Is(err, ErrLost) {
		c.logger.Warn("dlock: release not confirmed", "error", err)
	}
}
