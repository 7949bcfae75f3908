package redis_test

import (
	"strings"
	"testing"
	"time"

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
