package redis_test

import (
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/redistest"
)

func TestPrefix(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	a, b := open(t, "redis://"+s.Addr()+"?prefix=a%3A", time.Second), open(t, "redis://"+s.Addr()+"?prefix=b%3A", time.Second)
	again := open(t, "redis://"+s.Addr()+"?prefix=a%3A", time.Second)
	h := acquire(t, a.Mutex("x"))
	release(t, acquire(t, b.Mutex("x")))
	if ok, err := again.Mutex("x").TryLockContext(patient(t)); ok || err != nil {
		t.Errorf("TryLockContext is %v, %v while the lock is held", ok, err)
	}
	v, err := s.Do("KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range v.([]any) {
		if key := key.(string); !strings.HasPrefix(key, "a:") && !strings.HasPrefix(key, "b:") {
			t.Errorf("key %s", key)
		}
	}
	release(t, h)
}

// TestNothingRemains expects a server to have no more than a counter of each
// bucket when all clients are closed.
func TestNothingRemains(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	t.Run("use", func(t *testing.T) {
		a, b := open(t, "redis://"+s.Addr(), time.Second), open(t, "redis://"+s.Addr(), time.Second)
		for _, name := range []string{"x", strings.Repeat("long ", 1000)} {
			h := acquire(t, a.Mutex(name))
			acquire(t, a.RWMutex(name))
			acquire(t, b.Semaphore(name, 3))
			if ok, err := b.Mutex(name).TryLockContext(patient(t)); ok || err != nil {
				t.Errorf("TryLockContext is %v, %v while the lock is held", ok, err)
			}
			release(t, h)
			release(t, acquire(t, b.Mutex(name)))
		}
		for _, line := range strings.Fields(do(t, s, "KEYS", "dlock:[mrsMRS]:*")) {
			key := strings.Trim(line, "[]")
			if ttl := do(t, s, "PTTL", key); key != "" && (ttl == "-1" || ttl == "0") {
				t.Errorf("%s has no expiry while it is held", key)
			}
		}
	})
	for _, key := range strings.Fields(strings.Trim(do(t, s, "KEYS", "*"), "[]")) {
		if key != "dlock:o" && key != "dlock:format" {
			t.Errorf("left is %s", key)
		}
	}
}

// TestQuorumLongNames hands locks of each kind over whose names are long, and looks what
// is kept of them.
func TestQuorumLongNames(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	st := d.store(t, client.UniversalOptions{})
	a, b := session(t, st, 20*time.Second), session(t, st, 20*time.Second)
	name := strings.Repeat("long ", 1<<14)
	owner := uint64(0)
	for kind, op := range kinds(1, name) {
		owner++
		op.Owner = owner
		other := op
		other.Mode, other.Limit = backend.Exclusive, 1
		op.Limit = 1
		granted(t, a, op)
		if got := state(t, b, other); got != backend.Queued {
			t.Fatalf("%s: state %d, want Queued", kind, got)
		}
		holders, waiters, err := st.Inspect(patient(t), op.Class, name)
		if err != nil || len(holders) != 1 || len(waiters) != 1 {
			t.Errorf("%s: held by %v and awaited by %v, %v", kind, holders, waiters, err)
		}
		for i, s := range d.servers {
			if n := len(do(t, s, "KEYS", "*")); n > 2000 {
				t.Errorf("%s: the names of the keys of node %d have %d bytes", kind, i, n)
			}
		}
		if got := state(t, a, released(op)); got != backend.Released {
			t.Errorf("%s: state %d, want Released", kind, got)
		}
		granted(t, b, other)
		if got := state(t, b, released(other)); got != backend.Released {
			t.Errorf("%s: state %d, want Released", kind, got)
		}
	}
}
