package dlock

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// A lockRef is one way to take one lock: its class, name and mode.
type lockRef struct {
	client *Client // nil in a zero value
	class  backend.Class
	mode   backend.Mode
	name   string
	limit  uint32
	bad    error // what is wrong with the name or the limit
}

// describe puts an error into the words of the API.
func (s *lockRef) describe(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Class: s.class.String(), Name: s.name, Backend: s.client.backend, Err: err}
}

// check panics on a zero value and returns what is wrong with the name or limit.
func (s *lockRef) check() error {
	if s.client == nil {
		panic("dlock: a zero lock cannot be used: get one from a Client")
	}
	return s.bad
}

// acquire takes the lock for one holder.
func (s *lockRef) acquire(ctx context.Context, p patience) (*coordinator.Claim, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.client.options.tracer != nil {
		return s.traceAcquire(ctx, p)
	}
	return s.acquireRetrying(ctx, p)
}

// A patience tells for how long a call tries to get a lock.
type patience uint8

const (
	once     patience = iota + 1 // a try: it does not wait for those who hold the lock
	waiting                      // until it has the lock or ctx ends
	stubborn                     // and though the store refuses
)

// acquireRetrying submits claims until one is granted, or the call is to wait no longer. With an
// error it returns the claim that failed last.
func (s *lockRef) acquireRetrying(ctx context.Context, p patience) (*coordinator.Claim, error) {
	var r retry
	for lost := 0; ; {
		c := coordinator.NewClaim(s.class, s.client.key(s.name), s.limit, s.mode, p == once)
		err := s.client.coordinator.Acquire(ctx, c)
		granted := err == nil
		if granted {
			if err = c.Ended(); err == nil {
				return c, nil
			}
			// Lost before it got here: the process was stopped in between, say.
			s.client.coordinator.ReleaseLater(c)
			lost++
		}
		level, text := slog.LevelWarn, ""
		switch {
		case !granted && ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return c, r.because(ctx, err)
		case granted && lost == 1:
			continue
		case granted:
			text = "dlock: lock lost as soon as it was granted"
		case errors.Is(err, ErrLimit):
			text = "dlock: semaphore in use with another limit; waiting until it is not"
		case p == stubborn && !permanent(err):
			level, text = slog.LevelError, "dlock: lock failed"
		}
		if text == "" || p == once {
			return c, err
		}
		if err := r.wait(ctx, s.client, level, text, err, "class", s.class.String(),
			"name", plain(s.name), "backend", s.client.backend); err != nil {
			return c, err
		}
	}
}

// release gives a claim back.
func (s *lockRef) release(ctx context.Context, c *coordinator.Claim) error {
	if s.client.options.tracer != nil {
		return s.traceRelease(ctx, c)
	}
	return s.releaseClaim(ctx, c)
}

func (s *lockRef) releaseClaim(ctx context.Context, c *coordinator.Claim) error {
	err := s.client.coordinator.Release(ctx, c)
	if errors.Is(err, ErrReleased) {
		return nil // By Close, which is no loss.
	}
	return err
}

// A locker has the methods that all locks have in common. It must not be copied.
type locker struct {
	lockRef

	mu    sync.Mutex
	taken []*coordinator.Claim // by Lock and its like, oldest first
}

// Lock takes the lock and blocks until it has it: while it is held elsewhere, while
// the store is out of reach or refuses, and while a semaphore is in use with another
// limit, all of which is logged. It panics on permanent errors: those that
// match ErrClosed, ErrName, ErrUnsupported or, for a limit out of range, ErrLimit.
// It panics, too, if the client is closed while it waits. A server that closes its
// client while requests come in uses LockContext.
func (l *locker) Lock() {
	c, err := l.acquire(context.Background(), stubborn)
	if err != nil {
		panic(l.describe("lock", err))
	}
	l.take(c)
}

// TryLock takes the lock if it is free and nobody waits for it, and reports
// whether it did. It waits for the store, but not for ever: a store that does
// not answer, one that refuses, and a semaphore in use with another limit are logged
// and count as busy. It panics where Lock does.
func (l *locker) TryLock() bool {
	ok, err := l.TryLockContext(context.Background())
	if err != nil {
		if l.bad != nil || permanent(err) {
			panic(err)
		}
		l.client.logger.Warn("dlock: try failed", "error", err)
	}
	return ok
}

// Unlock gives back what Lock, TryLock or their like took on this value, the
// oldest first if that is more than one. It waits until the store has
// acknowledged that, but at most 5 s or the TTL, and then goes on in the
// background; it does not wait where the lock is handed on within the process. It
// panics if nothing is locked by this value, though another value of the name may be.
// After a loss it does nothing.
func (l *locker) Unlock() {
	c := l.untake()
	l.client.unconfirmed(l.describe("unlock", l.release(context.Background(), c)))
}

// LockContext takes the lock and blocks until it has it or ctx ends, and then
// returns ctx's error. Once it has the lock, ctx no longer matters. A store out
// of reach is waited for, and so is a semaphore in use with another limit: when ctx
// ends then, the error matches ErrLimit, too. A store that refuses is an error.
func (l *locker) LockContext(ctx context.Context) error {
	c, err := l.acquire(ctx, waiting)
	if err != nil {
		return l.describe("lock", err)
	}
	l.take(c)
	return nil
}

// TryLockContext takes the lock if it is free and nobody waits for it, and
// reports whether it did. It waits for the store until ctx ends, and not for
// ever.
func (l *locker) TryLockContext(ctx context.Context) (bool, error) {
	c, err := l.acquire(ctx, once)
	if err != nil {
		if errors.Is(err, ErrBusy) {
			return false, nil
		}
		return false, l.describe("trylock", err)
	}
	l.take(c)
	return true, nil
}

// UnlockContext is Unlock with an error: ErrLost when the lock was lost before,
// another one when the session ended before the store acknowledged. When ctx
// ends, or has ended already, the release goes on in the background.
func (l *locker) UnlockContext(ctx context.Context) error {
	return l.describe("unlock", l.release(ctx, l.untake()))
}

// Acquire takes the lock for a Hold of its own and blocks until it has it or ctx
// ends. The Hold has the values of ctx, but not its end.
func (l *locker) Acquire(ctx context.Context) (*Hold, error) {
	c, err := l.acquire(ctx, waiting)
	if err != nil {
		return nil, l.describe("acquire", err)
	}
	return newHold(context.WithoutCancel(ctx), part{&l.lockRef, c}), nil
}

// TryAcquire takes the lock for a Hold of its own if it is free and nobody waits
// for it, and returns ErrBusy if not. It waits for the store until ctx ends, and
// not for ever.
func (l *locker) TryAcquire(ctx context.Context) (*Hold, error) {
	c, err := l.acquire(ctx, once)
	if err != nil {
		return nil, l.describe("tryacquire", err)
	}
	return newHold(context.WithoutCancel(ctx), part{&l.lockRef, c}), nil
}

// Do takes the lock, calls f, and gives the lock back, also when f panics. The
// ctx of f descends from the caller's and ends when the lock is lost; then f's
// error is joined with ErrLost.
func (l *locker) Do(ctx context.Context, f func(ctx context.Context) error) error {
	c, err := l.acquire(ctx, waiting)
	if err != nil {
		return l.describe("do", err)
	}
	return newHold(ctx, part{&l.lockRef, c}).do(f)
}

// take keeps a claim for Unlock. It also keeps it from being garbage: what Lock
// took stays taken, even if the value that took it is forgotten.
func (l *locker) take(c *coordinator.Claim) {
	l.mu.Lock()
	l.taken = append(l.taken, c)
	l.mu.Unlock()
}

// untake returns the oldest claim that was taken.
func (l *locker) untake() *coordinator.Claim {
	if err := l.check(); err != nil {
		panic(l.describe("unlock", err))
	}
	l.mu.Lock()
	if len(l.taken) == 0 {
		l.mu.Unlock()
		panic("dlock: unlock of " + l.class.String() + " " + quote(l.name) + ", which is not locked by this value")
	}
	c := l.taken[0]
	if len(l.taken) == 1 {
		l.taken[0] = nil
		l.taken = l.taken[:0]
	} else {
		l.taken[0], l.taken = nil, l.taken[1:]
	}
	l.mu.Unlock()
	return c
}
