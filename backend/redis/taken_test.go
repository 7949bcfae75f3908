package redis_test

import (
	"fmt"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// onShards runs a test on one node and on a cluster.
func onShards(t *testing.T, test func(t *testing.T, d deployment)) {
	t.Helper()
	onAll(t, func(t *testing.T, d deployment) {
		if len(d.servers) > 1 && !d.cluster {
			t.Skip("a quorum keeps locks in another way")
		}
		test(t, d)
	})
}

// take deletes the key of one lock, as people do who want to get rid of it.
func (d deployment) take(t *testing.T, class backend.Class, name string) {
	t.Helper()
	found := 0
	for _, s := range d.servers {
		v, err := s.Do("KEYS", "t:*"+"?mrs"[class:class+1]+":"+name)
		if err != nil {
			t.Fatal(err)
		}
		keys, _ := v.([]any)
		for _, key := range keys {
			if ofLocks.MatchString(key.(string)) {
				do(t, s, "DEL", key.(string))
				found++
			}
		}
	}
	if found != 1 {
		t.Fatalf("%d keys of %q", found, name)
	}
}

// TestTakenLocksAreTold holds a thousand locks, of which some are deleted, and one is
// somebody else's by then.
func TestTakenLocksAreTold(t *testing.T) {
	t.Parallel()
	onShards(t, func(t *testing.T, d deployment) {
		const ttl, held = 6 * time.Second, 1000
		st := d.store(t, client.UniversalOptions{})
		s, other := session(t, st, ttl), session(t, st, time.Hour)
		var ops []backend.Op
		for i := range held {
			ops = append(ops, kinds(uint64(i+1), fmt.Sprintf("n%04d", i))[[]string{"mutex", "write lock", "read lock", "ticket"}[i%4]])
		}
		for i, r := range apply(t, s, ops...) {
			if r.State != backend.Granted {
				t.Fatalf("%d: state %d, %v", i, r.State, r.Err)
			}
		}
		taken := map[uint64]bool{}
		for _, i := range []int{0, 333, 334, 702, 999} {
			d.take(t, ops[i].Class, ops[i].Name)
			taken[ops[i].Owner] = true
		}
		next := ops[702]
		next.Owner = 1
		granted(t, other, next)

		told := make(chan backend.Event, held)
		go func() {
			for {
				events, err := s.Recv(t.Context())
				if err != nil {
					return
				}
				for _, e := range events {
					told <- e
				}
			}
		}()
		for beats := 1; len(taken) > 0; beats++ {
			if beats > 4 { // of which three are due within the time to live
				t.Fatalf("%v were not told", taken)
			}
			time.Sleep(ttl / 3)
			apply(t, s)
			for more := true; more; {
				select {
				case e := <-told:
					if e.Kind != backend.EventLost || !taken[e.Owner] || e.Err == nil {
						t.Errorf("%+v", e)
					}
					delete(taken, e.Owner)
				case <-time.After(50 * time.Millisecond):
					more = false
				}
			}
		}
		if got := state(t, s, released(ops[333])); got != backend.NotHeld {
			t.Errorf("a lock that was taken: state %d, want NotHeld", got)
		}
		if got := state(t, s, released(ops[1])); got != backend.Released {
			t.Errorf("a lock that was not: state %d, want Released", got)
		}
		if got := state(t, other, released(next)); got != backend.Released {
			t.Errorf("a lock that was taken over: state %d, want Released", got)
		}
	})
}

// TestChecksAreBounded compares what heartbeats cost that are due for a thousand locks
// and for ten thousand.
func TestChecksAreBounded(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	const ttl = 9 * time.Second
	cost := map[int]usage{}
	for _, held := range []int{1000, 10_000} {
		ses := session(t, storeOn(t, []*redistest.Server{s}, fmt.Sprint("t", held, ":")), ttl)
		var ops []backend.Op
		for i := range held {
			ops = append(ops, mutexOp(uint64(i+1), fmt.Sprintf("invoices/2026-11/%05d", i)))
		}
		apply(t, ses, ops...)
		time.Sleep(ttl / 3)
		before := usageOf(t, s)
		apply(t, ses)
		cost[held] = usageOf(t, s).since(before)
	}
	few, many := cost[1000], cost[10_000]
	t.Logf("%d bytes for 1 000 locks, %d for 10 000", few.bytes, many.bytes)
	// Owners have digits.
	if few.scripts != 1 || many.scripts != 1 || many.bytes > few.bytes*11/10 || few.bytes < 350*20 {
		t.Errorf("%+v and %+v", few, many)
	}
}

// TestForcedUnlock deletes locks that others wait for, who get them in their order, and
// of whom nothing is left when they are done.
func TestForcedUnlock(t *testing.T) {
	t.Parallel()
	onShards(t, func(t *testing.T, d deployment) {
		st := d.store(t, client.UniversalOptions{})
		for kind, class := range map[string]backend.Class{"mutex": backend.Mutex, "write lock": backend.RWMutex, "ticket": backend.Semaphore} {
			for _, jump := range []bool{false, true} {
				name := fmt.Sprint("forced ", kind, jump)
				op := kinds(1, name)[kind]
				op.Limit = 1
				holder, b, c, late := session(t, st, time.Minute), session(t, st, time.Minute), session(t, st, time.Minute), session(t, st, time.Minute)
				granted(t, holder, op)
				for _, s := range []backend.Session{b, c} {
					if got := state(t, s, op); got != backend.Queued {
						t.Fatalf("%s: state %d, want Queued", kind, got)
					}
				}
				d.take(t, class, name)
				if jump { // Nobody has looked yet.
					granted(t, late, op)
				}
				// The second who waits is the first to ask again.
				if got := state(t, c, op); got != backend.Queued {
					t.Errorf("%s: who waits behind another has state %d, want Queued", kind, got)
				}
				if jump {
					if got := state(t, late, released(op)); got != backend.Released {
						t.Errorf("%s: state %d, want Released", kind, got)
					}
				}
				for i, s := range []backend.Session{b, c} {
					until(t, fmt.Sprintf("%s: number %d of those who waited is granted", kind, i), func() bool { return state(t, s, op) == backend.Granted })
					if got := state(t, s, released(op)); got != backend.Released {
						t.Errorf("%s: state %d, want Released", kind, got)
					}
				}
				if got := state(t, holder, released(op)); got != backend.NotHeld {
					t.Errorf("%s: who lost it has state %d, want NotHeld", kind, got)
				}
				granted(t, late, op)
				if got := state(t, late, released(op)); got != backend.Released {
					t.Errorf("%s: state %d, want Released", kind, got)
				}
				for _, s := range d.servers {
					if v := do(t, s, "KEYS", "t:*"+name); v != "[]" {
						t.Errorf("%s: %v is left", kind, v)
					}
				}
			}
		}
	})
}

// TestHorizonsOfOthers has sessions with short times to live touch and grant what those
// with long ones depend on.
func TestHorizonsOfOthers(t *testing.T) {
	t.Parallel()
	onShards(t, func(t *testing.T, d deployment) {
		const short, long = 5 * time.Second, 2 * time.Hour
		st := d.store(t, client.UniversalOptions{})
		s, l := session(t, st, short), session(t, st, long)
		stays := func(what, pattern string) {
			t.Helper()
			for _, server := range d.servers {
				v, err := server.Do("KEYS", pattern)
				if err != nil {
					t.Fatal(err)
				}
				keys, _ := v.([]any)
				for _, key := range keys {
					if left, _ := server.Do("PTTL", key.(string)); left.(int64) < (long - time.Minute).Milliseconds() {
						t.Errorf("%s: %v lives for %v more", what, key, time.Duration(left.(int64))*time.Millisecond)
					}
				}
			}
		}
		for i, kind := range []string{"mutex", "write lock", "ticket"} {
			name := "passed " + kind
			op := kinds(uint64(i+1), name)[kind]
			op.Limit = 1
			granted(t, s, op)
			if got := state(t, l, op); got != backend.Queued {
				t.Fatalf("state %d, want Queued", got)
			}
			if got := state(t, s, released(op)); got != backend.Released {
				t.Fatalf("state %d, want Released", got)
			}
			stays("passed on", "t:*"+name)
		}
		for i, kind := range []string{"read lock", "ticket"} {
			name := "shared " + kind
			op := kinds(uint64(i+11), name)[kind]
			granted(t, l, op)
			granted(t, s, op)
			stays("shared", "t:*"+name)
		}
		op := kinds(21, "queue")["write lock"]
		third := session(t, st, short)
		granted(t, third, op)
		state(t, l, op)
		state(t, s, op)
		stays("a queue", "t:*q*queue")
	})
}

// TestBracesInThePrefix waits for a lock of one node whose prefix looks like that of a
// part of a cluster. Its messages come on channels with the whole of it.
func TestBracesInThePrefix(t *testing.T) {
	t.Parallel()
	servers := startNodes(t, 1)
	do(t, servers[0], "ACL", "SETUSER", "u", "on", "nopass", "+@all", "~app{1}:*", "&app{1}:*")
	c := client.NewClient(&client.Options{Addr: servers[0].Addr(), Username: "u", Password: "x"})
	t.Cleanup(func() { c.Close() })
	st := redis.New(c).WithPrefix("app{1}:")
	a, b := session(t, st, time.Hour), session(t, st, time.Hour)
	granted(t, a, mutexOp(1, "n"))
	if got := state(t, b, mutexOp(1, "n")); got != backend.Queued {
		t.Fatalf("state %d, want Queued", got)
	}
	if got := state(t, a, released(mutexOp(1, "n"))); got != backend.Released {
		t.Fatalf("state %d, want Released", got)
	}
	events, err := b.Recv(patient(t)) // No heartbeat comes for long.
	if err != nil || len(events) != 1 || events[0].Kind != backend.EventGranted {
		t.Errorf("%+v, %v", events, err)
	}
}
