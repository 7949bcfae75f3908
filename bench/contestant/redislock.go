package contestant

import (
	"context"
	"errors"
	"time"

	"github.com/bsm/redislock"

	"github.com/dlock-go/dlock/bench/testbed"
)

var redisLock = &Contestant{
	ID: "redislock", Title: "redislock", Store: Redis, Role: Peer,
	Says: "one pool of go-redis with its defaults; it polls every 16 ms, the least that its documentation recommends, and is called again when its time is over",
	open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
		client, err := dial(ctx, w.RedisAddr)
		if err != nil {
			return nil, err
		}
		return redislockLocks{redislock.New(client), pool{client}}, nil
	},
}

type redislockLocks struct {
	client *redislock.Client
	pool
}

func (l redislockLocks) Mutex(name string) Lock {
	return &redislockLock{client: l.client, key: name}
}

type redislockLock struct {
	client *redislock.Client
	key    string
	lock   *redislock.Lock
}

var redislockOptions = redislock.Options{RetryStrategy: redislock.LinearBackoff(16 * time.Millisecond)}

func (l *redislockLock) Lock() error {
	for {
		var err error
		l.lock, err = l.client.Obtain(context.Background(), l.key, TTL, &redislockOptions)
		if !errors.Is(err, redislock.ErrNotObtained) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

func (l *redislockLock) TryLock() (bool, error) {
	var err error
	l.lock, err = l.client.Obtain(context.Background(), l.key, TTL, nil)
	if errors.Is(err, redislock.ErrNotObtained) {
		return false, nil
	}
	return err == nil, err
}

func (l *redislockLock) Unlock() error { return l.lock.Release(context.Background()) }
func (l *redislockLock) Renew() error  { return l.lock.Refresh(context.Background(), TTL, nil) }
