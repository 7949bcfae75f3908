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
			}
		}
	}
	return u
}

func (u usage) since(before usage) usage {
	return usage{u.commands - before.commands, u.bytes - before.bytes, u.connections, u.scripts - before.scripts}
}

func TestUncontendedPairIsTwoCommands(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := open(t, "redis://"+s.Addr(), time.Minute) // no heartbeat comes between
	for name, l := range map[string]interface {
		Lock()
		Unlock()
	}{
		"mutex": c.Mutex("a"), "write lock": c.RWMutex("a"), "read lock": c.RWMutex("a").RLocker(), "semaphore": c.Semaphore("a", 3),
	} {
		const pairs = 50
		l.Lock()
		l.Unlock()
		before := usageOf(t, s)
		for range pairs {
			l.Lock()
			l.Unlock()
		}
		if u := usageOf(t, s).since(before); u.commands > 2*pairs {
			t.Errorf("%s: %d commands for %d pairs, want 2 each", name, u.commands, pairs)
		}
	}
	// Names that are asked for together share a call.
	if n := usageOf(t, s).connections - 1; n > 3 { // One is that of the question itself.
		t.Errorf("%d connections of one client, want at most 3", n)
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
	cost := func(held int) usage {
		s := redistest.New(t)
		c := client.NewClient(&client.Options{Addr: s.Addr()})
		defer c.Close()
		ses := session(t, redis.New(c), time.Minute) // so long that the subscription sends no ping
		var ops []backend.Op
		for i := range held {
			ops = append(ops, mutexOp(uint64(i+1), fmt.Sprint("invoices/2026-11/", i)))
		}
		for i, r := range apply(t, ses, ops...) {
			if r.State != backend.Granted {
				t.Fatalf("%d: state %d, %v", i, r.State, r.Err)
			}
		}
		apply(t, ses)
		before := usageOf(t, s)
		for range 3 {
			apply(t, ses)
		}
		return usageOf(t, s).since(before)
	}
	few, many := cost(10), cost(10_000)
	t.Logf("three heartbeats: %d commands and %d bytes for 10 locks, %d and %d for 10 000", few.commands, few.bytes, many.commands, many.bytes)
	if few.commands != 3 || many.commands != 3 {
		t.Errorf("%d and %d commands for 3 heartbeats", few.commands, many.commands)
	}
	// The numbers of batches may have a digit more.
	if d := many.bytes - few.bytes; d > 64 || d < -64 {
		t.Errorf("%d bytes for 10 locks and %d for 10 000", few.bytes, many.bytes)
	}
}
