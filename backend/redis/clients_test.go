package redis_test

import (
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/dlocktest"
	"github.com/dlock-go/dlock/internal/redistest"
)

func TestClients(t *testing.T) {
	t.Parallel()
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		s := redistest.New(t)
		c := client.NewClient(&client.Options{Addr: s.Addr()})
		t.Cleanup(func() { c.Close() })
		dlocktest.Run(t, dlocktest.Harness{
			Backend: func(*testing.T) backend.Backend { return redis.New(c) },
			URL:     "redis://" + s.Addr(),
			TTL:     2 * time.Second,
		})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.NewCluster(t, 3, 0)
		c := client.NewClusterClient(&client.ClusterOptions{Addrs: cluster.Addrs()})
		t.Cleanup(func() { c.Close() })
		dlocktest.Run(t, dlocktest.Harness{
			Backend: func(*testing.T) backend.Backend { return redis.New(c) },
			URL:     "redis+cluster://" + strings.Join(cluster.Addrs(), ","),
			TTL:     2 * time.Second,
		})
	})
}
