package redis_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// loseKeys has servers lose all that they have of a store, as a FLUSHALL does that hits
// no other test.
func loseKeys(servers []*redistest.Server) func(*testing.T, backend.Backend, backend.Class, string) {
	return func(t *testing.T, b backend.Backend, _ backend.Class, _ string) {
		for _, s := range servers {
			v, err := s.Do("KEYS", redis.Prefix(b.(*redis.Store))+"*")
			if err != nil {
				t.Error(err)
			}
			keys, _ := v.([]any)
			for _, key := range keys {
				do(t, s, "DEL", fmt.Sprint(key))
			}
		}
	}
}

// loseTerms has the nodes of a quorum take all sessions for dead, as if their time to
// live was over: what loses its data instead gives no votes for long.
func loseTerms(servers []*redistest.Server) func(*testing.T, backend.Backend, backend.Class, string) {
	return func(t *testing.T, b backend.Backend, _ backend.Class, _ string) {
		for _, s := range servers {
			do(t, s, "DEL", redis.Prefix(b.(*redis.Store))+"q:live")
		}
	}
}

func faultyNode(t *testing.T) *backendtest.Between   { return between(t, 1) }
func faultyQuorum(t *testing.T) *backendtest.Between { return between(t, 3) }

// TestMutants shows that the suite would find what it is there to find.
func TestMutants(t *testing.T) {
	t.Parallel()
	backendtest.RunMutants(t, backendtest.Harness{Fault: faultyNode, Caps: caps, TTL: 3 * time.Second})
}

func TestQuorumMutants(t *testing.T) {
	if !long() && os.Getenv("DLOCK_BACKENDTEST_MUTANT") == "" {
		t.Skip("it runs with DLOCK_LONG=1 in the environment")
	}
	t.Parallel()
	backendtest.RunMutants(t, backendtest.Harness{Fault: faultyQuorum, Caps: quorumCaps, TTL: 5 * time.Second})
}

// between returns a store on servers of its own, with a proxy before each. They write
// all to disk, for a restart.
func between(t *testing.T, nodes int) *backendtest.Between {
	var servers []*redistest.Server
	var proxies []*backendtest.Proxy
	var clients []client.UniversalClient
	for range nodes {
		s := redistest.New(t, "appendonly yes", "appendfsync always")
		p := backendtest.NewProxy(t, s.Addr())
		c := client.NewClient(&client.Options{Addr: p.Addr()})
		t.Cleanup(func() { c.Close() })
		servers, proxies, clients = append(servers, s), append(proxies, p), append(clients, c)
	}
	prefix := freshPrefix()
	b := backendtest.Through(proxies...)
	b.Open = func() backend.Backend { return redis.New(clients...).WithPrefix(prefix) }
	b.Direct = func() backend.Backend { return storeOn(t, servers, prefix) }
	if nodes == 1 { // A quorum is not to lose more than a minority at a time.
		b.Restart = func() {
			if err := servers[0].Restart(); err != nil {
				t.Error(err)
			}
		}
	}
	return b
}
