package dlock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	_ "github.com/dlock-go/dlock/backend/file"
	"github.com/dlock-go/dlock/backend/memory"
	_ "github.com/dlock-go/dlock/backend/postgres"
	_ "github.com/dlock-go/dlock/backend/redis"
)

// FuzzNames takes a lock of one namespace and name by one client, and tries that of
// another namespace and name by another one: it is busy if they are the same, and
// only then. Every name but the empty one can be used.
func FuzzNames(f *testing.F) {
	for _, s := range [][4]string{
		{"", "a", "", "a"}, {"", "a", "", "A"}, {"ns", "a", "", "a"}, {"a", "b", "", "\x00a\x00b"},
		{"a", "\x00b", "a\x01", "b"}, {"", "\x00", "", "\x00\x00"}, {"", "é", "", "e\u0301"}, {"", "\xff", "", "\xfe"},
		{"x", "y/../z", "x", "z"}, {"", " ", "", "  "}, {"{a}", "b", "", "{a}b"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, ns1, name1, ns2, name2 string) {
		store := memory.New()
		one, ok1 := clientOf(t, store, ns1)
		two, ok2 := clientOf(t, store, ns2)
		if !ok1 || !ok2 {
			return
		}
		for class, lock := range map[string]func(*dlock.Client, string) tryLocker{
			"mutex":     func(c *dlock.Client, name string) tryLocker { return c.Mutex(name) },
			"rwmutex":   func(c *dlock.Client, name string) tryLocker { return c.RWMutex(name) },
			"semaphore": func(c *dlock.Client, name string) tryLocker { return c.Semaphore(name, 1) },
		} {
			held, ok := try(t, lock(one, name1), name1)
			if !ok {
				return
			}
			other, err := lock(two, name2).TryAcquire(context.Background())
			same := ns1 == ns2 && name1 == name2
			switch {
			case name2 == "" || len(name2) > 1<<20:
				if !errors.Is(err, dlock.ErrName) {
					t.Errorf("%s: a bad name: %v", class, err)
				}
			case same && !errors.Is(err, dlock.ErrBusy):
				t.Errorf("%s %q in %q is held, and taken again: %v", class, name1, ns1, err)
			case !same && err != nil:
				t.Errorf("%s %q in %q keeps %q in %q from being taken: %v", class, name1, ns1, name2, ns2, err)
			}
			for _, h := range []*dlock.Hold{held, other} {
				if h != nil {
					if err := h.Release(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
}

type tryLocker interface {
	TryAcquire(ctx context.Context) (*dlock.Hold, error)
}

// clientOf returns a client in a namespace, unless that cannot be one.
func clientOf(t *testing.T, store backend.Backend, namespace string) (*dlock.Client, bool) {
	c, err := dlock.New(store, dlock.WithNamespace(namespace))
	if bad := strings.Contains(namespace, "\x00"); (err != nil) != bad {
		t.Errorf("namespace %q: %v", namespace, err)
	}
	if err != nil {
		return nil, false
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, true
}

// try takes a lock that nobody holds, unless its name cannot be one.
func try(t *testing.T, l tryLocker, name string) (*dlock.Hold, bool) {
	h, err := l.TryAcquire(context.Background())
	if bad := name == "" || len(name) > 1<<20; bad {
		if !errors.Is(err, dlock.ErrName) {
			t.Errorf("a bad name: %v", err)
		}
		return nil, false
	}
	if err != nil {
		t.Errorf("name %q: %v", name, err)
	}
	return h, err == nil
}

// FuzzURL makes stores of URLs. Whatever the URL is, no driver panics, connects or
// repeats the password, and the name of a store is the URL of a store of that name.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"memory:", "memory:x", "file:///tmp/x", "file:a%2Fb", "file://localhost/x", "FILE:///x?y", "file:",
		"redis://localhost", "redis://u:SECRET@h:1/2?prefix=x:", "redis://:SECRET@a,b:2,c", "rediss://u:SECRET@[::1]:1",
		"redis+cluster://a:1,b:2", "redis+sentinel://u:SECRET@a:1/0?master=m", "redis://u:SEC/RET@h", "redis://h:SECRET", "redis://[]00",
		"postgres://u:SECRET@h:1/d?sslmode=disable", "postgresql://u:SECRET@a:1,b:2/d", "postgres://h/d?dlock_locks=x&password=SECRET",
		"postgres:///d?host=/var/run&user=u&password=SECRET", "postgres://u:SECRET@h:x/d", "postgres:u:SECRET@h/d", "nosuch://u:SECRET@h", "u:SECRET@h", "%", "://", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const secret = "hunter2-hunter2"
		text = strings.ReplaceAll(text, "SECRET", secret)
		b, err := backend.FromURL(text)
		if err != nil {
			if passwordOf(text, secret) && strings.Contains(err.Error(), secret) {
				t.Errorf("the error of %q repeats the password: %v", text, err)
			}
			return
		}
		name := b.String()
		if passwordOf(text, secret) && strings.Contains(name, secret) {
			t.Errorf("the name of %q repeats the password: %s", text, name)
		}
		again, err := backend.FromURL(name)
		if err != nil {
			t.Errorf("%q is %q, which is no URL: %v", text, name, err)
		} else if got := again.String(); got != name && !strings.HasPrefix(name, "postgres") { // What pgx makes of a host is its own.
			t.Errorf("%q is %q, which is %q", text, name, got)
		}
	})
}

// passwordOf reports whether the secret stands where URLs have passwords.
func passwordOf(text, secret string) bool {
	base, query, _ := strings.Cut(text, "?")
	_, authority, _ := strings.Cut(base, "://")
	before, _, found := strings.Cut(authority, "@")
	return found && strings.HasSuffix(before, ":"+secret) && strings.Count(authority, secret) == 1 ||
		strings.Contains("&"+query, "&password="+secret) && !strings.Contains(base, secret)
}

// FuzzOptions makes clients with arbitrary options. What is refused is an error, and
// what is not works.
func FuzzOptions(f *testing.F) {
	f.Add(int64(10*time.Second), int64(5*time.Millisecond), "", "", 1)
	f.Add(int64(0), int64(0), "ns", "nightly", 0)
	f.Add(int64(-1), int64(-1), "a\x00b", strings.Repeat("x", 1025), -1)
	f.Add(int64(1<<63-1), int64(1<<63-1), "\xff", "\x00", 1<<31-1)
	f.Fuzz(func(t *testing.T, ttl, handoff int64, namespace, reason string, limit int) {
		c, err := dlock.New(memory.New(), dlock.WithTTL(time.Duration(ttl)), dlock.WithHandoff(time.Duration(handoff)),
			dlock.WithNamespace(namespace), dlock.WithReason(reason))
		bad := ttl < int64(100*time.Millisecond) || handoff < 0 || strings.Contains(namespace, "\x00") || len(reason) > 1<<10
		if (err != nil) != bad {
			t.Fatalf("ttl %d, handoff %d, namespace %q, reason of %d bytes: %v", ttl, handoff, namespace, len(reason), err)
		}
		if err != nil {
			return
		}
		for range 2 { // The second time it is handed on, or has been freed.
			h, err := c.Semaphore("s", limit).TryAcquire(context.Background())
			if (err == nil) != (limit >= 1 && int64(limit) <= 1<<31-1) || err != nil && !errors.Is(err, dlock.ErrLimit) {
				t.Errorf("limit %d: %v", limit, err)
			}
			if err == nil {
				if err := h.Release(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
