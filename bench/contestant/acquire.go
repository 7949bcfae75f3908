package contestant

import (
	"context"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/bench/testbed"
)

// acquiring is dlock by its other way into a mutex, which gives a Hold.
func acquiring(c *Contestant) *Contestant {
	return &Contestant{
		ID: c.ID + "-acquire", Title: c.Title + ", Acquire", Store: c.Store, Role: Variant,
		Says: "the same by Acquire, with a context that can be cancelled, and Release of the Hold",
		Only: []string{"own", "hot"},
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			locks, err := c.open(ctx, w)
			if err != nil {
				return nil, err
			}
			a := &acquired{dlockLocks: locks.(dlockLocks)}
			a.ctx, a.cancel = context.WithCancel(context.Background())
			return a, nil
		},
	}
}

type acquired struct {
	dlockLocks
	ctx    context.Context
	cancel context.CancelFunc
}

func (l *acquired) Mutex(name string) Lock {
	return &acquiredMutex{ctx: l.ctx, mu: l.Client.Mutex(name)}
}

func (l *acquired) Close() {
	l.cancel()
	l.dlockLocks.Close()
}

type acquiredMutex struct {
	ctx  context.Context
	mu   *dlock.Mutex
	hold *dlock.Hold
}

func (l *acquiredMutex) Lock() (err error) {
	l.hold, err = l.mu.Acquire(l.ctx)
	return err
}

func (l *acquiredMutex) Unlock() error { return l.hold.Release(l.ctx) }
