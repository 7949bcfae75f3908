package contestant

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/bench/testbed"
)

var ping = &Contestant{
	ID: "ping", Title: "two PINGs", Store: Redis, Role: Floor, Only: unshared,
	Says: "a round trip in place of the lock and one in place of the unlock, over one pool of go-redis with its defaults; locks nothing",
	open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
		client, err := dial(ctx, w.RedisAddr)
		return pool{client}, err
	},
}

// dial returns a pool of connections as go-redis makes it unless told otherwise.
func dial(ctx context.Context, addr string) (*redis.Client, error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	return client, client.Ping(ctx).Err()
}

type pool struct{ client *redis.Client }

func (p pool) Mutex(string) Lock { return pinger(p) }
func (p pool) Close()            { p.client.Close() }

type pinger struct{ client *redis.Client }

func (p pinger) Lock() error   { return p.client.Ping(context.Background()).Err() }
func (p pinger) Unlock() error { return p.client.Ping(context.Background()).Err() }
