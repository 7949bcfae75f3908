package contestant

import (
	"context"
	"sync"

	"github.com/dlock-go/dlock/bench/testbed"
)

// fronted is a peer as people use it where many goroutines of a process want one
// name: they take a mutex of the process first.
func fronted(c *Contestant) *Contestant {
	return &Contestant{
		ID: c.ID + "-fronted", Title: c.Title + " behind a sync.Mutex", Store: c.Store, Role: c.Role,
		Says: "the same, by one goroutine of a process at a time",
		Only: []string{"hot"},
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			locks, err := c.open(ctx, w)
			return &fronts{Locks: locks}, err
		},
	}
}

type fronts struct {
	Locks
	mutexes sync.Map
}

func (l *fronts) Mutex(name string) Lock {
	return &front{mu: named(&l.mutexes, name, new(sync.Mutex)), lock: l.Locks.Mutex(name)}
}

type front struct {
	mu   *sync.Mutex
	lock Lock
}

func (f *front) Lock() error {
	f.mu.Lock()
	err := f.lock.Lock()
	if err != nil {
		f.mu.Unlock()
	}
	return err
}

func (f *front) Unlock() error {
	defer f.mu.Unlock()
	return f.lock.Unlock()
}
