package redis_test

import (
	"regexp"
	"testing"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// A deployment is servers that keep locks together.
type deployment struct {
	servers []*redistest.Server
	cluster bool
}

// onAll runs a test on one node, a cluster and a quorum.
func onAll(t *testing.T, test func(t *testing.T, d deployment)) {
	t.Helper()
	for name, start := range map[string]func(t *testing.T) deployment{
		"node":    func(t *testing.T) deployment { return deployment{servers: startNodes(t, 1)} },
		"cluster": func(t *testing.T) deployment { return deployment{redistest.NewCluster(t, 3, 0).Masters, true} },
		"quorum":  func(t *testing.T) deployment { return deployment{servers: startNodes(t, 3)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// store returns a store with settings of its clients.
func (d deployment) store(t *testing.T, o client.UniversalOptions) *redis.Store {
	t.Helper()
	var clients []client.UniversalClient
	if d.cluster {
		for _, s := range d.servers {
			o.Addrs = append(o.Addrs, s.Addr())
		}
		clients = append(clients, client.NewClusterClient(o.Cluster()))
	} else {
		for _, s := range d.servers {
			o.Addrs = []string{s.Addr()}
			clients = append(clients, client.NewClient(o.Simple()))
		}
	}
	for _, c := range clients {
		t.Cleanup(func() { c.Close() })
	}
	return redis.New(clients...).WithPrefix("t:")
}

// each runs a command on all servers.
func (d deployment) each(t *testing.T, args ...string) {
	t.Helper()
	for _, s := range d.servers {
		do(t, s, args...)
	}
}

// ofLocks matches the keys of locks that are held.
var ofLocks = regexp.MustCompile(`^t\d*:(q:[hr]:[mrs]|({\d+}:)?[mrs]:)`)

// remove deletes the locks that are held from a server, as people do who want to get
// rid of one.
func remove(t *testing.T, s *redistest.Server) {
	t.Helper()
	v, err := s.Do("KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := v.([]any)
	for _, key := range keys {
		if key, _ := key.(string); ofLocks.MatchString(key) {
			do(t, s, "DEL", key)
		}
	}
}

// kinds are an Acquire of each kind of lock.
func kinds(owner uint64, name string) map[string]backend.Op {
	write, read, ticket := mutexOp(owner, name), mutexOp(owner, name), mutexOp(owner, name)
	write.Class, read.Class, read.Mode = backend.RWMutex, backend.RWMutex, backend.Shared
	ticket.Class, ticket.Limit = backend.Semaphore, 2
	return map[string]backend.Op{"mutex": mutexOp(owner, name), "write lock": write, "read lock": read, "ticket": ticket}
}
