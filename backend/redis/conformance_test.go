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
	run := func(t *testing.T, c client.UniversalClient, fault func(*testing.T) *backendtest.Between, servers ...*redistest.Server) {
		t.Cleanup(func() { c.Close() })
		backendtest.Run(t, backendtest.Harness{
			New: func(*testing.T) func() backend.Backend {
				prefix := freshPrefix()
				return func() backend.Backend { return redis.New(c).WithPrefix(prefix) }
			},
			Lose:  loseKeys(servers),
			Fault: fault,
			Caps:  caps,
			TTL:   3 * time.Second,
		})
	}
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		s := redistest.New(t)
		run(t, client.NewClient(&client.Options{Addr: s.Addr()}), faultyNode, s)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.NewCluster(t, 3, 0)
		run(t, client.NewClusterClient(&client.ClusterOptions{Addrs: cluster.Addrs()}), nil, cluster.Masters...)
	})
}
