// Package contestant has the manners of locking that are measured beside each
// other, one file each: dlock on each of its stores, what people use today, and
// the floors, which lock nothing but make the round trips that a lock cannot do
// without.
package contestant

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dlock-go/dlock/bench/testbed"
)

// A Contestant is one manner of locking.
type Contestant struct {
	ID    string // names it on the command line and in the names of its locks
	Title string // names it in the report
	Store Store  // those of one store are compared
	Role  Role
	Says  string // how it was set up, for the report
	// Only has the names of the workloads that it takes part in. Empty stands for all.
	Only []string
	// Holds and Waits are how many locks of one process can be held, and awaited,
	// at a time. 0 stands for as many as there is memory for.
	Holds, Waits int

	open func(context.Context, *testbed.Testbed) (Locks, error)
}

// Store is what keeps the locks.
type Store string

// The stores.
const (
	Memory   Store = "memory"
	File     Store = "file"
	Redis    Store = "redis"
	Quorum   Store = "quorum" // of three Redis servers
	Postgres Store = "postgres"
)

// Shared reports whether several processes share its locks.
func (s Store) Shared() bool { return s != Memory }

// Networked reports whether it is reached by a network.
func (s Store) Networked() bool { return s == Redis || s == Quorum || s == Postgres }

// Role is the part that a contestant plays.
type Role uint8

const (
	// Ours is dlock as it is by default, once for each store.
	Ours Role = iota + 1
	// Variant is dlock used or set up in another way.
	Variant
	// Peer is something that people use in its place.
	Peer
	// Floor locks nothing, or does not manage what it locks.
	Floor
)

// All lists the contestants, those of one store beside each other, and the one
// that the others of its store are compared to first.
var All = []*Contestant{
	dlockMemory, acquiring(dlockMemory), syncMutex,
	dlockFile, acquiring(dlockFile), gofrsFlock, fronted(gofrsFlock), bareFlock, flockInotify,
	dlockRedis, acquiring(dlockRedis), rueidisLock, fronted(rueidisLock), redisLock, fronted(redisLock), redSync, fronted(redSync), ping,
	dlockQuorum, acquiring(dlockQuorum), redSyncQuorum, fronted(redSyncQuorum),
	dlockPostgres, acquiring(dlockPostgres), dlockPostgresUntokened, advisory, fronted(advisory), selectOne,
}

// unshared are the workloads in which nobody waits for a lock.
var unshared = []string{"own", "distance", "apart", "once"}

// Find returns the contestant with an ID.
func Find(id string) (*Contestant, error) {
	for _, c := range All {
		if c.ID == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("there is no contestant %q", id)
}

// Open returns what a process needs to take part.
func (c *Contestant) Open(ctx context.Context, w *testbed.Testbed) (Locks, error) {
	locks, err := c.open(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.ID, err)
	}
	return locks, nil
}

// Locks is what one process has of a contestant. It is safe for concurrent use.
type Locks interface {
	// Mutex returns one goroutine's way into the mutex of that name.
	Mutex(name string) Lock
	// Close lets go of what Open took.
	Close()
}

// A Lock is one goroutine's way into a lock. It blocks until it has the lock and
// until it is rid of it, and is not safe for concurrent use.
type Lock interface {
	Lock() error
	Unlock() error
}

// Trier is implemented by a Lock that can be tried: TryLock does not wait, and
// reports whether it has the lock.
type Trier interface {
	TryLock() (bool, error)
}

// locker makes a Lock of what cannot fail.
type locker struct{ sync.Locker }

func (l locker) Lock() error   { l.Locker.Lock(); return nil }
func (l locker) Unlock() error { l.Locker.Unlock(); return nil }

func (l locker) TryLock() (bool, error) {
	return l.Locker.(interface{ TryLock() bool }).TryLock(), nil
}

// ReadWriter is implemented by Locks that have reader-writer locks.
type ReadWriter interface {
	RWMutex(name string) (write, read Lock)
}

// Counter is implemented by Locks that have semaphores.
type Counter interface {
	Semaphore(name string, limit int) Lock
}

// Renewer is implemented by a Lock that is lost when its user does not renew it.
type Renewer interface {
	Renew() error
}

// Queuer is implemented by Locks that wait at the store less often than once for
// each goroutine that waits.
type Queuer interface {
	Queued() int
}

// Fenced is implemented by a Lock that can tell the fencing token of a holder.
// Token takes the lock once, and returns 0 when there is none.
type Fenced interface {
	Token() (uint64, error)
}

// TTL is how long the locks of a process that is heard of no more live on, where
// a contestant has such a thing.
const TTL = 6 * time.Second
