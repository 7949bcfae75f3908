package contestant

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/bench/testbed"

	_ "github.com/dlock-go/dlock/backend/file"
	_ "github.com/dlock-go/dlock/backend/postgres"
	_ "github.com/dlock-go/dlock/backend/redis"
)

var (
	dlockMemory = &Contestant{
		ID: "dlock-memory", Title: "dlock", Store: Memory, Role: Ours,
		Says: "backend/memory",
		open: func(context.Context, *testbed.Testbed) (Locks, error) { return client(dlock.New(memory.New())) },
	}
	dlockFile = &Contestant{
		ID: "dlock-file", Title: "dlock", Store: File, Role: Ours, Holds: mostFiles,
		Says: "backend/file",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			return client(dlock.Open(ctx, "file://"+filepath.Join(w.Dir, "dlock"), dlock.WithTTL(TTL)))
		},
	}
	dlockRedis = &Contestant{
		ID: "dlock-redis", Title: "dlock", Store: Redis, Role: Ours,
		Says: "backend/redis, one node",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			return client(dlock.Open(ctx, "redis://"+w.RedisAddr, dlock.WithTTL(TTL)))
		},
	}
	dlockQuorum = &Contestant{
		ID: "dlock-quorum", Title: "dlock", Store: Quorum, Role: Ours,
		Says: "backend/redis, three nodes",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			return client(dlock.Open(ctx, "redis://"+strings.Join(w.QuorumAddrs, ","), dlock.WithTTL(TTL)))
		},
	}
	dlockPostgres = &Contestant{
		ID: "dlock-postgres", Title: "dlock", Store: Postgres, Role: Ours, Holds: mostAdvisory,
		Says: "backend/postgres, for up to 10 000 locks in place of 1 000",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			return client(dlock.Open(ctx, w.PostgresURL+advisoryParameters, dlock.WithTTL(TTL)))
		},
	}
	dlockPostgresUntokened = &Contestant{
		ID: "dlock-postgres-untokened", Title: "dlock, no tokens", Store: Postgres, Role: Variant, Holds: mostAdvisory,
		Says: "the same without fencing tokens, which cost a write to the disk for each batch",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			return client(dlock.Open(ctx, w.PostgresURL+advisoryParameters+"&dlock_tokens=false", dlock.WithTTL(TTL)))
		},
	}
)

// A program is to use at most a quarter of the room for locks that a server has.
const (
	mostAdvisory       = 10_000
	advisoryParameters = "&dlock_locks=10000"
)

func client(c *dlock.Client, err error) (Locks, error) { return dlockLocks{c}, err }

type dlockLocks struct{ *dlock.Client }

func (l dlockLocks) Mutex(name string) Lock {
	mu := l.Client.Mutex(name)
	return dlockMutex{locker{mu}, mu}
}

func (l dlockLocks) RWMutex(name string) (write, read Lock) {
	mu := l.Client.RWMutex(name)
	return locker{mu}, locker{mu.RLocker()}
}

func (l dlockLocks) Semaphore(name string, limit int) Lock {
	return locker{l.Client.Semaphore(name, limit)}
}

func (l dlockLocks) Queued() int { return l.Stats().Queued }

func (l dlockLocks) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.Client.Close(ctx) // What is left ends with the process.
}

type dlockMutex struct {
	locker
	mu *dlock.Mutex
}

func (l dlockMutex) Token() (uint64, error) {
	ctx := context.Background()
	h, err := l.mu.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	token, _ := h.Token()
	return token, h.Release(ctx)
}
