package dlock

import (
	"context"
	"sync"
)

// An RWMutex is a distributed reader-writer lock: of all the clients on a store,
// any number of readers or a single writer hold the lock of a name. Get one from
// [Client.RWMutex]; the zero value panics. It is safe for concurrent use and
// must not be copied. Its methods without an R are those of the write lock.
//
// While a writer waits, no new reader gets in, so a goroutine must not take the
// read lock twice. When a writer leaves, waiting writers go first, over the order
// of arrival; but after 16 turns of writers in a row the waiting readers have
// one. A turn is a grant of the store: within it the writers of one process may
// pass the lock on for the budget of [WithHandoff] while others wait. The readers
// of one process come in together and share one hold of the store.
//
// In the terminology of the Go memory model, within a process the n'th Unlock
// synchronizes before the m'th Lock returns, for any n < m, and for each RLock
// there is an n such that the n'th Unlock synchronizes before that RLock returns
// and the matching RUnlock synchronizes before the n+1'th Lock returns.
type RWMutex struct {
	locker        // the write lock
	read   locker // the read lock
}

// RLock takes the read lock and blocks until it has it. It panics where Lock does.
func (rw *RWMutex) RLock() { rw.read.Lock() }

// TryRLock takes the read lock if no writer holds it or waits, and reports
// whether it did. It is to RLock as TryLock is to Lock.
func (rw *RWMutex) TryRLock() bool { return rw.read.TryLock() }

// RUnlock gives back one read lock, the oldest that RLock or its like took on
// this value. It panics if there is none.
func (rw *RWMutex) RUnlock() { rw.read.Unlock() }

// RLockContext takes the read lock and blocks until it has it or ctx ends.
func (rw *RWMutex) RLockContext(ctx context.Context) error { return rw.read.LockContext(ctx) }

// TryRLockContext takes the read lock if no writer holds it or waits, and reports
// whether it did.
func (rw *RWMutex) TryRLockContext(ctx context.Context) (bool, error) {
	return rw.read.TryLockContext(ctx)
}

// RUnlockContext is RUnlock with an error, as UnlockContext is to Unlock.
func (rw *RWMutex) RUnlockContext(ctx context.Context) error { return rw.read.UnlockContext(ctx) }

// AcquireRead takes the read lock for a Hold of its own.
func (rw *RWMutex) AcquireRead(ctx context.Context) (*Hold, error) { return rw.read.Acquire(ctx) }

// TryAcquireRead takes the read lock for a Hold of its own if no writer holds it
// or waits, and returns ErrBusy if one does.
func (rw *RWMutex) TryAcquireRead(ctx context.Context) (*Hold, error) {
	return rw.read.TryAcquire(ctx)
}

// DoRead calls f under the read lock, as Do does under the write lock.
func (rw *RWMutex) DoRead(ctx context.Context, f func(ctx context.Context) error) error {
	return rw.read.Do(ctx, f)
}

// RLocker returns a Locker whose Lock and Unlock are RLock and RUnlock of rw. It
// can be part of a [Composite].
func (rw *RWMutex) RLocker() sync.Locker { return (*rlocker)(rw) }

type rlocker RWMutex

func (r *rlocker) Lock()   { (*RWMutex)(r).RLock() }
func (r *rlocker) Unlock() { (*RWMutex)(r).RUnlock() }
