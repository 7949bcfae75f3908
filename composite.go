package dlock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// A Composite is several locks taken as one: all or nothing. Get one from [All].
// It is safe for concurrent use and must not be copied.
//
// Its locks are taken one after the other in an order that is the same for every
// composite, whatever the order in which they were given, so that two composites
// cannot wait for each other. They are released in reverse, and the composite is
// lost when any of them is, while it waits for the later ones too.
//
// The order is that of the classes of the locks and of their names, namespace
// included, whatever URLs the stores were opened with. Only locks of one class and
// name in several stores are in the order of the stores' names, without secrets: where
// processes put such locks together, they have to open those stores with the same
// URLs.
type Composite struct {
	refs []*lockRef // in the order in which they are taken
	bad  error

	mu    sync.Mutex
	taken []*Hold // by Lock and its like, oldest first
}

// All returns the composite of several locks: *Mutex, *RWMutex (its write lock),
// the RLocker of an *RWMutex, *Semaphore (one ticket) and *Composite. With no
// lockers, a duplicate, or any other type, the first call on the composite fails
// with ErrUnsupported.
func All(lockers ...sync.Locker) *Composite {
	c := new(Composite)
	for _, l := range lockers {
		switch l := l.(type) {
		case *Mutex:
			c.refs = append(c.refs, &l.lockRef)
		case *RWMutex:
			c.refs = append(c.refs, &l.lockRef)
		case *rlocker:
			c.refs = append(c.refs, &l.read.lockRef)
		case *Semaphore:
			c.refs = append(c.refs, &l.lockRef)
		case *Composite:
			c.refs = append(c.refs, l.refs...)
			c.bad = cmp.Or(c.bad, l.bad)
		default:
			c.bad = fmt.Errorf("%w: a %T in a composite", ErrUnsupported, l)
		}
	}
	for _, s := range c.refs {
		c.bad = cmp.Or(c.bad, s.check())
	}
	slices.SortStableFunc(c.refs, order)
	for i := 1; i < len(c.refs); i++ {
		if order(c.refs[i-1], c.refs[i]) == 0 {
			c.bad = cmp.Or(c.bad, fmt.Errorf("%w: %s %s twice in a composite", ErrUnsupported, c.refs[i].class, quote(c.refs[i].name)))
		}
	}
	if len(c.refs) == 0 {
		c.bad = cmp.Or(c.bad, fmt.Errorf("%w: a composite of nothing", ErrUnsupported))
	}
	return c
}

// order is the one global order of locks. The store comes last, for two processes may
// have different URLs of one, and then it must not matter.
func order(a, b *lockRef) int {
	return cmp.Or(
		cmp.Compare(a.class, b.class),
		cmp.Compare(a.client.key(a.name), b.client.key(b.name)),
		cmp.Compare(a.client.backend, b.client.backend),
	)
}

// check panics on a zero value and returns what is wrong with the composite.
func (c *Composite) check() error {
	if len(c.refs) == 0 && c.bad == nil {
		panic("dlock: a zero Composite cannot be used: get one from All")
	}
	return c.bad
}

// acquire takes all the locks or none, for a Hold whose context descends from
// parent.
func (c *Composite) acquire(ctx, parent context.Context, p patience) (*Hold, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([]part, 0, len(c.refs))
	complete := false
	defer func() {
		if !complete { // A part has failed, or panicked.
			releaseAll(ctx, parts)
		}
	}()
	for _, s := range c.refs {
		claim, err := s.acquire(wait, p)
		if err == nil {
			parts = append(parts, part{s, claim})
			// The coordinator tells of the loss, and must not wait for what hangs on ctx.
			claim.Notify(func(error) { go cancel(nil) })
		}
		if lost := lostOf(parts); lost != nil {
			return nil, lost
		}
		if err != nil {
			return nil, s.describe("acquire", err)
		}
	}
	complete = true
	return newHold(parent, parts...), nil
}

// lostOf returns why one of several locks is no longer held, or nil.
func lostOf(parts []part) error {
	for _, p := range parts {
		if err := p.claim.Ended(); err != nil {
			return p.lockRef.describe("hold", err)
		}
	}
	return nil
}

// releaseAll gives parts back in reverse order, the others too if one panics. It does
// not wait when ctx has ended.
func releaseAll(ctx context.Context, parts []part) {
	if last := len(parts) - 1; last >= 0 {
		defer releaseAll(ctx, parts[:last])
		_ = parts[last].lockRef.release(ctx, parts[last].claim)
	}
}

func (c *Composite) describe(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Class: "composite", Err: err}
}

// Lock takes all the locks and blocks until it has them. Like [Mutex.Lock] it
// waits for a store out of reach and panics on permanent errors. When a part is lost
// while it waits for the others, it frees them and starts again; the other
// methods return an error that matches ErrLost.
func (c *Composite) Lock() {
	var r retry
	for {
		h, err := c.acquire(context.Background(), context.Background(), stubborn)
		if err == nil {
			c.take(h)
			return
		}
		if !errors.Is(err, ErrLost) {
			panic(c.describe("lock", err))
		}
		_ = r.wait(context.Background(), c.refs[0].client, slog.LevelWarn, "dlock: a part of a composite was lost before the others were taken", err)
	}
}

// TryLock takes all the locks if they are free, and reports whether it did. It
// panics where Lock does.
func (c *Composite) TryLock() bool {
	ok, err := c.TryLockContext(context.Background())
	if err != nil {
		if c.bad != nil || permanent(err) {
			panic(err)
		}
		c.refs[0].client.logger.Warn("dlock: try failed", "error", err)
	}
	return ok
}

// Unlock gives back what Lock, TryLock or their like took, in reverse order. It
// panics if the composite is not locked. After a loss it frees the rest.
func (c *Composite) Unlock() {
	h := c.untake()
	c.refs[0].client.unconfirmed(h.Release(context.Background()))
}

// LockContext takes all the locks and blocks until it has them or ctx ends. What
// it has by then is given back.
func (c *Composite) LockContext(ctx context.Context) error {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), waiting)
	if err != nil {
		return c.describe("lock", err)
	}
	c.take(h)
	return nil
}

// TryLockContext takes all the locks if they are free, and reports whether it
// did.
func (c *Composite) TryLockContext(ctx context.Context) (bool, error) {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), once)
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
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), waiting)
	return h, c.describe("acquire", err)
}

// TryAcquire takes all the locks for one Hold if they are free, and returns
// ErrBusy if one is not.
func (c *Composite) TryAcquire(ctx context.Context) (*Hold, error) {
	h, err := c.acquire(ctx, context.WithoutCancel(ctx), once)
	return h, c.describe("tryacquire", err)
}

// Do calls f while it holds all the locks, as [Mutex.Do] does for one.
func (c *Composite) Do(ctx context.Context, f func(ctx context.Context) error) error {
	h, err := c.acquire(ctx, ctx, waiting)
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
		panic("dlock: unlock of a composite that is not locked by this value")
	}
	h := c.taken[0]
	c.taken = slices.Delete(c.taken, 0, 1)
	return h
}
