//lint:file-ignore SA2001 What a pair costs is what is counted.

package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// A usage is what clients have asked of a server, by its own statistics. What
// scripts do does not count as commands of a client.
type usage struct {
	commands, bytes, connections int
	scripts                      int // calls of scripts
}

func usageOf(t *testing.T, s *redistest.Server) usage {
	t.Helper()
	info, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	var u usage
	u.bytes, _ = strconv.Atoi(info["total_net_input_bytes"])
	u.connections, _ = strconv.Atoi(info["connected_clients"])
	for name, value := range info {
		if stat, ok := strings.CutPrefix(name, "cmdstat_"); ok {
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			n, _ := strconv.Atoi(calls)
			switch stat {
			case "evalsha", "eval":
				u.commands += n
				u.scripts += n
			case "ping", "subscribe", "auth", "select", "hello":
				u.commands += n
			case "info": // Our own question is not to count.
				u.bytes -= n * len("*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n")
			}
		}
	}
	return u
}

// deployments are numbers of nodes.
var deployments = map[string]int{"one node": 1, "quorum": 3}

func usagesOf(t *testing.T, servers []*redistest.Server) (all []usage) {
	t.Helper()
	for _, s := range servers {
		all = append(all, usageOf(t, s))
	}
	return all
}

func since(t *testing.T, servers []*redistest.Server, before []usage) []usage {
	t.Helper()
	all := usagesOf(t, servers)
	for i := range all {
		all[i] = all[i].since(before[i])
	}
	return all
}

func (u usage) since(before usage) usage {
	return usage{u.commands - before.commands, u.bytes - before.bytes, u.connections, u.scripts - before.scripts}
}

// TestUncontendedPairIsTwoCommands counts what each node is asked.
func TestUncontendedPairIsTwoCommands(t *testing.T) {
	t.Parallel()
	for name, nodes := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := startNodes(t, nodes)
			c := open(t, urlOn(servers), redis.DefaultMaxTTL) // no heartbeat comes between
			for name, l := range map[string]interface {
				Lock()
				Unlock()
			}{
				"mutex": c.Mutex("a"), "write lock": c.RWMutex("a"), "read lock": c.RWMutex("a").RLocker(), "semaphore": c.Semaphore("a", 3),
			} {
				const pairs = 50
				l.Lock()
				l.Unlock()
				before := usagesOf(t, servers)
				for range pairs {
					l.Lock()
					l.Unlock()
				}
				for i, u := range since(t, servers, before) {
					// A slow node may still be answering the pair before, and a slow
					// machine asks for an answer twice.
					if u.commands > 2*pairs+pairs/10 {
						t.Errorf("%s, node %d: %d commands for %d pairs, want 2 each", name, i, u.commands, pairs)
					}
				}
			}
			// Names that are asked for together share a call.
			for i, u := range usagesOf(t, servers) {
				if n := u.connections - 1; n > 3 { // One is that of the question itself.
					t.Errorf("node %d: %d connections of one client, want at most 3", i, n)
				}
			}
		})
	}
}

func TestBatchIsOneCommand(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	ses := session(t, redis.New(c), time.Minute)
	apply(t, ses, mutexOp(1, "warm"))
	before := usageOf(t, s)
	var ops []backend.Op
	for i := range 500 {
		ops = append(ops, mutexOp(uint64(i+2), fmt.Sprint("name ", i)))
	}
	apply(t, ses, ops...)
	if u := usageOf(t, s).since(before); u.scripts != 1 {
		t.Errorf("a batch of 500 names took %d calls", u.scripts)
	}
}

// TestHeartbeatIsFlat compares what three heartbeats cost for few locks and many.
func TestHeartbeatIsFlat(t *testing.T) {
	t.Parallel()
	for name, nodes := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			few, many := heartbeats(t, nodes, 1_000), heartbeats(t, nodes, 10_000)
			for i := range nodes {
				few, many := few[i], many[i]
				t.Logf("node %d, three heartbeats: %d commands and %d bytes for 1 000 locks, %d and %d for 10 000",
					i, few.commands, few.bytes, many.commands, many.bytes)
				if few.scripts != 3 || many.scripts != 3 {
					t.Errorf("node %d: %d and %d calls for 3 heartbeats", i, few.scripts, many.scripts)
				}
				// A subscription that has heard nothing for long pings, and the numbers of
				// batches may have a digit more.
				if few.commands > 5 || many.commands > 5 {
					t.Errorf("node %d: %d and %d commands for 3 heartbeats", i, few.commands, many.commands)
				}
				// Owners have more digits, and a busy machine takes longer for a heartbeat,
				// which then is to check more.
				if many.bytes > 2*few.bytes {
					t.Errorf("node %d: %d bytes for 1 000 locks and %d for 10 000", i, few.bytes, many.bytes)
				}
			}
		})
	}
}

// heartbeats returns what three heartbeats ask of each node while so many locks are
// held.
func heartbeats(t *testing.T, nodes, held int) []usage {
	t.Helper()
	servers := startNodes(t, nodes)
	ses := session(t, storeOn(t, servers, redis.DefaultPrefix), redis.DefaultMaxTTL)
	var ops []backend.Op
	for i := range held {
		ops = append(ops, mutexOp(uint64(i+1), fmt.Sprint("invoices/2026-11/", i)))
	}
	until(t, "all are granted", func() bool {
		for i, r := range apply(t, ses, ops...) {
			switch r.State {
			case backend.Granted:
			case backend.Unknown: // A busy machine takes its time for so many.
				return false
			default:
				t.Fatalf("%d: state %d, %v", i, r.State, r.Err)
			}
		}
		return true
	})
	if nodes > 1 { // Apply does not wait for the slowest.
		for _, s := range servers {
			until(t, "all nodes have given their votes", func() bool { return votes(t, s, "h") == held })
		}
	}
	beat := func() {
		if nodes > 1 { // Sooner it would not look after what it holds.
			time.Sleep(redis.PollEvery)
		}
		before := usagesOf(t, servers)
		apply(t, ses)
		for i, s := range servers {
			until(t, "the heartbeat is with all nodes", func() bool { return usageOf(t, s).scripts > before[i].scripts })
		}
	}
	beat()
	before := usagesOf(t, servers)
	for range 3 {
		beat()
	}
	return since(t, servers, before)
}
