package dlock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A Composite is several locks taken as one: all or nothing. Get one from [All].
// It is safe for concurrent use and must not be copied.
//
// Its locks are taken one after the other in an order that is the same for every
// composite, whatever the order in which they were given, so that two composites
// cannot wait for each other. They are released in reverse, and the composite is
// lost when any of them is.
type Composite struct {
	sides []*side // in the order in which they are taken
	bad   error

	mu    sync.Mutex
	taken []*Hold // by Lock and its like, oldest first
}

// All returns the composite of several locks: *Mutex, *RWMutex (its write lock),
// the RLocker of an *RWMutex, *Semaphore (one ticket) and *Composite. None, a
// lock named twice, and any other type are reported by the first call on the
// composite: it matches ErrUnsupported.
func All(lockers ...sync.Locker) *Composite {
	c := new(Composite)
	for _, l := range lockers {
		switch l := l.(type) {
		case *Mutex:
			c.sides = append(c.sides, &l.side)
		case *RWMutex:
			c.sides = append(c.sides, &l.side)
		case *rlocker:
			c.sides = append(c.sides, &l.read.side)
		case *Semaphore:
			c.sides = append(c.sides, &l.side)
		case *Composite:
			c.sides = append(c.sides, l.sides...)
			c.bad = cmp.Or(c.bad, l.bad)
		default:
			c.bad = fmt.Errorf("%w: a %T in a composite", ErrUnsupported, l)
		}
	}
	for _, s := range c.sides {
		c.bad = cmp.Or(c.bad, s.check())
	}
	slices.SortStableFunc(c.sides, order)
	for i := 1; i < len(c.sides); i++ {
		if order(c.sides[i-1], c.sides[i]) == 0 {
			c.bad = cmp.Or(c.bad, fmt.Errorf("%w: %s %s twice in a composite", ErrUnsupported, c.sides[i].class, quote(c.sides[i].name)))
		}
	}
	if len(c.sides) == 0 {
		c.bad = cmp.Or(c.bad, fmt.Errorf("%w: a composite of nothing", ErrUnsupported))
	}
	return c
}

// order is the one global order of locks.
func order(a, b *side) int {
	return cmp.Or(
		cmp.Compare(a.client.backend, b.client.backend),
		cmp.Compare(a.class, b.class),
		cmp.Compare(a.client.key(a.name), b.client.key(b.name)),
	)
}

// check panics on a zero value and returns what is wrong with the composite.
func (c *Composite) check() error {
	if len(c.sides) == 0 && c.bad == nil {
		panic("dlock: a zero Composite cannot be used: get one from All")
	}
	return c.bad
}

// acquire takes all the locks or none, for a Hold whose context descends from
// parent.
func (c *Composite) acquire(ctx, parent context.Context, try bool) (*Hold, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	parts := make([]part, 0, len(c.sides))
	for _, s := range c.sides {
		claim, err := s.acquire(ctx, try)
		if err != nil {
			for _, p := range slices.Backward(parts) {
				_ = p.side.release(ctx, p.claim) // Does not wait when ctx has ended.
			}
			return nil, s.describe("acquire", err)
		}
		parts = append(parts, part{s, claim})
	}
	return newHold(parent, parts...), nil
}

func (c *Composite) describe(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Class: "composite", Err: err}
}

// Lock takes all the locks and blocks until it has them. Like [Mutex.Lock] it
// waits for a store out of reach and panics on what waiting cannot cure.
func (c *Composite) Lock() {
	if err := c.check(); err != nil {
		panic(c.describe("lock", err))
	}
	parts := make([]part, 0, len(c.sides))
	for _, s := range c.sides {
		parts = append(parts, part{s, s.persist()})
	}
	c.take(newHold(context.Background(), parts...))
}

// TryLock takes all the locks if they are free, and reports whether it did. It
// panics where Lock does.
func (c *Composite) TryLock() bool {
	ok, err := c.TryLockContext(context.Background())
	if permanent(err) {
		panic(err)
	}
	if err != nil {
		c.sides[0].client.options.logger.Warn("dlock: try failed", "error", err)
	}
	return ok
}

// Unlock gives back what Lock, TryLock or their like took, in reverse order. It
// panics if the composite is not locked. After a loss it frees the rest.
func (c *Composite) Unlock() { _ = c.untake().Release(context.Background()) }

// LockContext takes all the locks and blocks until it has them or ctx ends. What
// it has by then is given back.
func (c *Composite) LockContext(ctx context.Context) error {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), false)
	if err != nil {
		return c.describe("lock", err)
	}
	c.take(h)
	return nil
}

// TryLockContext takes all the locks if they are free, and reports whether it
// did.
func (c *Composite) TryLockContext(ctx context.Context) (bool, error) {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), true)
	if err != nil {
		if errors.Is(err, ErrBusy) {
			return false, nil
		}
		return false, c.describe("trylock", err)
	}
	c.take(h)
	return true, nil
}

// UnlockContext is Unlock with an error, as [Mutex.UnlockContext] is.
func (c *Composite) UnlockContext(ctx context.Context) error {
	return c.describe("unlock", c.untake().Release(ctx))
}

// Acquire takes all the locks for one Hold and blocks until it has them or ctx
// ends.
func (c *Composite) Acquire(ctx context.Context) (*Hold, error) {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), false)
	return h, c.describe("acquire", err)
}

// TryAcquire takes all the locks for one Hold if they are free, and returns
// ErrBusy if one is not.
func (c *Composite) TryAcquire(ctx context.Context) (*Hold, error) {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), true)
	return h, c.describe("tryacquire", err)
}

// Do calls f while it holds all the locks, as [Mutex.Do] does for one.
func (c *Composite) Do(ctx context.Context, f func(ctx context.Context) error) error {
	h, err := c.acquire(ctx, ctx, false)
	if err != nil {
		return c.describe("do", err)
	}
	return h.do(f)
}

func (c *Composite) take(h *Hold) {
	// What Lock took stays taken, even if the composite is forgotten.
	h.cleanup.Stop()
	c.mu.Lock()
	c.taken = append(c.taken, h)
	c.mu.Unlock()
}

func (c *Composite) untake() *Hold {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.taken) == 0 {
		panic("dlock: unlock of a composite that is not locked")
	}
	h := c.taken[0]
	c.taken = slices.Delete(c.taken, 0, 1)
	return h
}
