package redis_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

var quorumCaps = backend.Caps{Notify: true, Fencing: true, Contended: true, Processes: true, Inspect: true}

// startNodes starts n servers.
func startNodes(tb testing.TB, n int) []*redistest.Server {
	tb.Helper()
	var servers []*redistest.Server
	for range n {
		servers = append(servers, redistest.New(tb))
	}
	return servers
}

// storeOn returns a store on servers whose keys begin with prefix.
func storeOn(tb testing.TB, servers []*redistest.Server, prefix string) *redis.Store {
	tb.Helper()
	var clients []client.UniversalClient
	for _, s := range servers {
		c := client.NewClient(&client.Options{Addr: s.Addr()})
		tb.Cleanup(func() { c.Close() })
		clients = append(clients, c)
	}
	return redis.New(clients...).WithPrefix(prefix)
}

var prefixes atomic.Uint64

// freshPrefix returns a prefix that nothing uses.
func freshPrefix() string { return fmt.Sprintf("t%d:", prefixes.Add(1)) }

// found makes servers remember that they were a quorum before, though they have never
// met: what is missing of it is then known to be down and not to be new.
func found(tb testing.TB, servers []*redistest.Server, prefix string) {
	tb.Helper()
	for _, s := range servers {
		info, err := s.Info()
		if err == nil {
			_, err = s.Do("HSET", prefix+"q:node", "run", info["run_id"], "from", "0", "base", "0")
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func TestQuorumConformance(t *testing.T) {
	for _, c := range []struct{ nodes, dead int }{{3, 0}, {3, 1}, {5, 2}} {
		t.Run(fmt.Sprintf("%d nodes with %d dead", c.nodes, c.dead), func(t *testing.T) {
			if c.dead > 0 && os.Getenv("DLOCK_LONG") == "" {
				t.Skip("it runs with DLOCK_LONG=1 in the environment")
			}
			t.Parallel()
			servers := startNodes(t, c.nodes)
			for _, s := range servers[:c.dead] {
				s.Kill()
			}
			backendtest.Run(t, backendtest.Harness{
				New: func(t *testing.T) func() backend.Backend {
					prefix := freshPrefix()
					if c.dead > 0 {
						found(t, servers[c.dead:], prefix)
					}
					st := storeOn(t, servers, prefix)
					return func() backend.Backend { return st }
				},
				Lose:  loseTerms(servers[c.dead:]),
				Fault: faultyQuorum,
				Caps:  quorumCaps,
				TTL:   5 * time.Second,
				// Each node counts the writers that it has voted for, and hears of the others when
				// they release.
				AboutWriters: true,
			})
		})
	}
}

// BenchmarkQuorumPair is one Apply that acquires and one that releases.
func BenchmarkQuorumPair(b *testing.B) {
	for _, n := range []int{3, 5} {
		for _, batch := range []int{1, 256} {
			b.Run(fmt.Sprintf("%d nodes, %d names", n, batch), func(b *testing.B) {
				s, err := storeOn(b, startNodes(b, n), "t:").Open(b.Context(), 10*time.Second, backend.ClientInfo{})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close(b.Context())
				ops := make([]backend.Op, batch)
				owner := uint64(0)
				b.ResetTimer()
				for b.Loop() {
					for i := range ops {
						owner++
						ops[i] = lockOp(backend.Acquire, owner)
						ops[i].Name = fmt.Sprint(i)
					}
					for _, do := range []backend.Do{backend.Acquire, backend.Release} {
						for i := range ops {
							ops[i].Do = do
						}
						results, _, err := s.Apply(b.Context(), ops)
						if err != nil {
							b.Fatal(err)
						}
						for _, r := range results {
							if r.State != backend.Granted && r.State != backend.Released {
								b.Fatalf("state %d, %v", r.State, r.Err)
							}
						}
					}
				}
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "pairs/s")
			})
		}
	}
}
