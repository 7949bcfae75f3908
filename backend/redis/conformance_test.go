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
	s := redistest.New(t)
	t.Run("node", func(t *testing.T) {
		backendtest.Run(t, backendtest.Harness{
			New: func(t *testing.T) func() backend.Backend {
				if _, err := s.Do("FLUSHALL"); err != nil {
					t.Fatal(err)
				}
				c := client.NewClient(&client.Options{Addr: s.Addr()})
				t.Cleanup(func() { c.Close() })
				return func() backend.Backend { return redis.New(c) }
			},
			Caps: caps,
			TTL:  3 * time.Second,
		})
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.NewCluster(t, 3, 0)
		backendtest.Run(t, backendtest.Harness{
			New: func(t *testing.T) func() backend.Backend {
				for _, s := range cluster.Masters {
					if _, err := s.Do("FLUSHALL"); err != nil {
						t.Fatal(err)
					}
				}
				c := client.NewClusterClient(&client.ClusterOptions{Addrs: cluster.Addrs()})
				t.Cleanup(func() { c.Close() })
				return func() backend.Backend { return redis.New(c) }
			},
			Caps: caps,
			TTL:  3 * time.Second,
		})
	})
}
