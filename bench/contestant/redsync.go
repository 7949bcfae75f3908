package contestant

import (
	"context"
	"errors"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"

	"github.com/dlock-go/dlock/bench/testbed"
)

var (
	redSync = &Contestant{
		ID: "redsync", Title: "redsync", Store: Redis, Role: Peer,
		Says: "one pool of go-redis with its defaults; the defaults of redsync: it polls every 50 to 250 ms, and is called again when its 32 tries are over",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) { return openRedsync(ctx, w.RedisAddr) },
	}
	redSyncQuorum = &Contestant{
		ID: "redsync-quorum", Title: "redsync", Store: Quorum, Role: Peer,
		Says: "the same with a pool for each of three nodes",
		open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
			return openRedsync(ctx, w.QuorumAddrs...)
		},
	}
)

func openRedsync(ctx context.Context, addrs ...string) (Locks, error) {
	var l redsyncLocks
	var pools []redis.Pool
	for _, addr := range addrs {
		client, err := dial(ctx, addr)
		if err != nil {
			return nil, err
		}
		l.nodes = append(l.nodes, pool{client})
		pools = append(pools, goredis.NewPool(client))
	}
	l.Redsync = redsync.New(pools...)
	return l, nil
}

type redsyncLocks struct {
	*redsync.Redsync
	nodes []pool
}

func (l redsyncLocks) Close() {
	for _, n := range l.nodes {
		n.Close()
	}
}

func (l redsyncLocks) Mutex(name string) Lock {
	return redsyncLock{l.NewMutex(name, redsync.WithExpiry(TTL))}
}

type redsyncLock struct{ *redsync.Mutex }

func (l redsyncLock) Lock() error {
	for {
		err := l.Mutex.Lock()
		if !busy(err) && !errors.Is(err, context.DeadlineExceeded) { // Of a try of its own, under load.
			return err
		}
	}
}

func (l redsyncLock) TryLock() (bool, error) {
	err := l.Mutex.TryLock()
	if busy(err) {
		return false, nil
	}
	return err == nil, err
}

func busy(err error) bool {
	var taken *redsync.ErrTaken
	return errors.Is(err, redsync.ErrFailed) || errors.As(err, &taken)
}

func (l redsyncLock) Unlock() error { return held(l.Mutex.Unlock()) }
func (l redsyncLock) Renew() error  { return held(l.Extend()) }

func held(ok bool, err error) error {
	if err == nil && !ok {
		return errors.New("the lock was lost")
	}
	return err
}
