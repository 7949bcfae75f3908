package dlocktest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A lock is what all locks of package dlock have in common.
type lock interface {
	sync.Locker
	TryLock() bool
	LockContext(ctx context.Context) error
	TryLockContext(ctx context.Context) (bool, error)
	UnlockContext(ctx context.Context) error
	Acquire(ctx context.Context) (*dlock.Hold, error)
	TryAcquire(ctx context.Context) (*dlock.Hold, error)
	Do(ctx context.Context, f func(ctx context.Context) error) error
}

var (
	_ lock = (*dlock.Mutex)(nil)
	_ lock = (*dlock.RWMutex)(nil)
	_ lock = (*dlock.Semaphore)(nil)
	_ lock = (*dlock.Composite)(nil)
)

// A kind is a way to get a lock.
type kind struct {
	name  string
	class backend.Class // at the store; of a composite, that of its first lock
	drain int           // tickets that others have to take before it excludes
	value func(c *dlock.Client, name string) lock
}

// exclusives are all the locks that one goroutine holds at a time.
var exclusives = []kind{
	{name: "mutex", class: backend.Mutex, value: func(c *dlock.Client, name string) lock { return c.Mutex(name) }},
	{name: "write lock", class: backend.RWMutex, value: func(c *dlock.Client, name string) lock { return c.RWMutex(name) }},
	{name: "semaphore of 1", class: backend.Semaphore, value: func(c *dlock.Client, name string) lock { return c.Semaphore(name, 1) }},
	{name: "drained semaphore of 5", class: backend.Semaphore, drain: 4, value: func(c *dlock.Client, name string) lock { return c.Semaphore(name, 5) }},
	{name: "composite", class: backend.Mutex, value: func(c *dlock.Client, name string) lock {
		return dlock.All(c.Semaphore(name, 1), c.Mutex(name), c.RWMutex(name))
	}},
}

// singles are the exclusives that are one lock at the store.
var singles = exclusives[:4]

// kinds are all the locks.
var kinds = append(exclusives[:len(exclusives):len(exclusives)],
	kind{name: "read lock", class: backend.RWMutex, value: func(c *dlock.Client, name string) lock { return readLock{c.RWMutex(name)} }},
)

// lock returns a lock of a kind and name that is used by this check alone.
func (p *client) lock(k kind, name string) lock {
	p.f.Helper()
	name = p.f.name(name)
	if k.drain > 0 {
		p.f.drain(k, name)
	}
	return k.value(p.Client, name)
}

// drain leaves one ticket of a semaphore. It does so once for each name.
func (f *fixture) drain(k kind, name string) {
	f.Helper()
	if f.drained[name] {
		return
	}
	f.drained[name] = true
	if f.drainer == nil {
		f.drainer = f.client()
	}
	l := k.value(f.drainer.Client, name)
	for range k.drain {
		if err := l.LockContext(f.patient()); err != nil {
			f.Fatal(err)
		}
	}
}

// A readLock is the read lock of an RWMutex under the names that all locks share.
type readLock struct{ rw *dlock.RWMutex }

func (r readLock) Lock()                                            { r.rw.RLock() }
func (r readLock) Unlock()                                          { r.rw.RUnlock() }
func (r readLock) TryLock() bool                                    { return r.rw.TryRLock() }
func (r readLock) LockContext(ctx context.Context) error            { return r.rw.RLockContext(ctx) }
func (r readLock) TryLockContext(ctx context.Context) (bool, error) { return r.rw.TryRLockContext(ctx) }
func (r readLock) UnlockContext(ctx context.Context) error          { return r.rw.RUnlockContext(ctx) }
func (r readLock) Acquire(ctx context.Context) (*dlock.Hold, error) { return r.rw.AcquireRead(ctx) }
func (r readLock) TryAcquire(ctx context.Context) (*dlock.Hold, error) {
	return r.rw.TryAcquireRead(ctx)
}
func (r readLock) Do(ctx context.Context, f func(context.Context) error) error {
	return r.rw.DoRead(ctx, f)
}

// rival returns what cannot be had at the same time as a lock of the kind.
func (k kind) rival() kind {
	if k.name == "read lock" {
		return exclusives[1]
	}
	return k
}

// take acquires a lock that has to become free.
func (f *fixture) take(l lock) *dlock.Hold {
	f.Helper()
	h, err := l.Acquire(f.patient())
	if err != nil {
		f.Fatal(err)
	}
	return h
}

// release gives a hold back.
func (f *fixture) release(h *dlock.Hold) {
	f.Helper()
	if err := h.Release(f.patient()); err != nil {
		f.Fatal(err)
	}
}

// busy fails the test unless all tries find the lock held.
func (f *fixture) busy(l lock) {
	f.Helper()
	if l.TryLock() {
		f.Fatal("TryLock is true while the lock is held")
	}
	if ok, err := l.TryLockContext(f.patient()); ok || err != nil {
		f.Fatalf("TryLockContext is %v, %v while the lock is held", ok, err)
	}
	if h, err := l.TryAcquire(f.patient()); h != nil || !errors.Is(err, dlock.ErrBusy) {
		f.Fatalf("TryAcquire is %v, %v while the lock is held", h, err)
	}
}

// free fails the test unless all tries find the lock free. Of a store without a queue,
// which is several servers, one that is slow may not have heard of a release yet: there
// it need not be at once.
func (f *fixture) free(l lock) {
	f.Helper()
	try := func(what string, try func() (ok bool, err error)) {
		f.Helper()
		ok, err := try()
		for began := time.Now(); !ok && err == nil && !f.caps.Queue && time.Since(began) < f.Patience; time.Sleep(time.Millisecond) {
			ok, err = try()
		}
		if !ok || err != nil {
			f.Fatalf("%s is %v, %v while the lock is free", what, ok, err)
		}
	}
	try("TryLock", func() (bool, error) { return l.TryLock(), nil })
	l.Unlock()
	try("TryLockContext", func() (bool, error) { return l.TryLockContext(f.patient()) })
	if err := l.UnlockContext(f.patient()); err != nil {
		f.Fatalf("UnlockContext: %v", err)
	}
	try("TryAcquire", func() (bool, error) {
		h, err := l.TryAcquire(f.patient())
		if errors.Is(err, dlock.ErrBusy) {
			return false, nil
		}
		if err == nil {
			f.release(h)
		}
		return err == nil, err
	})
}

// freed waits until a lock is free that nobody waits to give back: by a
// release or withdrawal that goes on in the background.
func (f *fixture) freed(l lock) {
	f.Helper()
	f.until("the lock is free", func() bool {
		ok, err := l.TryLockContext(f.patient())
		if err != nil {
			f.Fatal(err)
		}
		return ok
	})
	l.Unlock()
}
