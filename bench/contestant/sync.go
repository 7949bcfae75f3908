package contestant

import (
	"context"
	"sync"

	"github.com/dlock-go/dlock/bench/testbed"
)

var syncMutex = &Contestant{
	ID: "sync", Title: "sync.Mutex", Store: Memory, Role: Peer,
	Says: "the standard library's, as what a lock within one process costs without names; a channel is the semaphore",
	open: func(context.Context, *testbed.Testbed) (Locks, error) { return new(syncLocks), nil },
}

// syncLocks gives the locks of the standard library names.
type syncLocks struct {
	mutexes, rwMutexes, semaphores sync.Map
}

func named[T any](m *sync.Map, name string, value T) T {
	v, _ := m.LoadOrStore(name, value)
	return v.(T)
}

func (l *syncLocks) Mutex(name string) Lock {
	return locker{named(&l.mutexes, name, new(sync.Mutex))}
}

func (l *syncLocks) RWMutex(name string) (write, read Lock) {
	mu := named(&l.rwMutexes, name, new(sync.RWMutex))
	return locker{mu}, locker{mu.RLocker()}
}

func (l *syncLocks) Semaphore(name string, limit int) Lock {
	return syncSemaphore(named(&l.semaphores, name, make(chan struct{}, limit)))
}

func (l *syncLocks) Close() {}

type syncSemaphore chan struct{}

func (s syncSemaphore) Lock() error   { s <- struct{}{}; return nil }
func (s syncSemaphore) Unlock() error { <-s; return nil }
