package redis_test

import (
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

var caps = backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Processes: true, Inspect: true}

func TestConformance(t *testing.T) {
	t.Parallel()
	// run gives each check a part of one store.
	run := func(t *testing.T, c client.UniversalClient) {
		t.Cleanup(func() { c.Close() })
		backendtest.Run(t, backendtest.Harness{
			New: func(*testing.T) func() backend.Backend {
				prefix := freshPrefix()
				return func() backend.Backend { return redis.New(c).WithPrefix(prefix) }
			},
			Caps: caps,
			TTL:  3 * time.Second,
		})
	}
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		run(t, client.NewClient(&client.Options{Addr: redistest.New(t).Addr()}))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		run(t, client.NewClusterClient(&client.ClusterOptions{Addrs: redistest.NewCluster(t, 3, 0).Addrs()}))
	})
}
