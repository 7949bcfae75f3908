package redis_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
)

// noticed waits for an EventNotice about something, and has what else comes asked again.
func noticed(t *testing.T, s backend.Session, about string) {
	t.Helper()
	ctx := patient(t)
	for {
		events, err := s.Recv(ctx)
		if err != nil {
			t.Fatalf("no notice about %q: %v", about, err)
		}
		for _, e := range events {
			if e.Kind == backend.EventNotice && strings.Contains(e.Err.Error(), about) {
				return
			}
		}
	}
}

// handOver has b wait for what a holds and be granted it, sooner than by a heartbeat.
func handOver(t *testing.T, a, b backend.Session, op backend.Op) {
	t.Helper()
	granted(t, a, op)
	if got := state(t, b, op); got != backend.Queued {
		t.Fatalf("state %d, want Queued", got)
	}
	if got := state(t, a, released(op)); got != backend.Released {
		t.Fatalf("state %d, want Released", got)
	}
	ctx := patient(t)
	for {
		events, err := b.Recv(ctx)
		if err != nil {
			t.Fatalf("never granted: %v", err)
		}
		for _, e := range events {
			if e.Kind == backend.EventGranted || e.Kind == backend.EventTurn && state(t, b, op) == backend.Granted {
				if got := state(t, b, released(op)); got != backend.Released {
					t.Errorf("state %d, want Released", got)
				}
				return
			}
		}
	}
}

// TestWithoutSubscriptions hands locks over between sessions that may not subscribe, and
// says that they may not.
func TestWithoutSubscriptions(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		o := d.user(t, "u", "-subscribe")
		st := d.store(t, o).WithMaxTTL(time.Hour)
		a, b := session(t, st, time.Hour), session(t, st, time.Hour)
		noticed(t, b, "subscribe")
		for owner := range uint64(3) {
			handOver(t, a, b, mutexOp(owner+1, "n"))
		}
	})
}

// TestSubscriptionIsRefusedLater takes the right away from those who have subscribed.
func TestSubscriptionIsRefusedLater(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		o := d.user(t, "u")
		st := d.store(t, o).WithMaxTTL(time.Hour)
		a, b := session(t, st, time.Hour), session(t, st, time.Hour)
		handOver(t, a, b, mutexOp(1, "n"))
		d.user(t, "u", "-subscribe")
		d.each(t, "CLIENT", "KILL", "TYPE", "pubsub")
		noticed(t, b, "subscribe")
		handOver(t, a, b, mutexOp(2, "n"))
	})
}

// TestWithoutPing leaves a session idle whose pings are refused: it keeps its
// subscription.
func TestWithoutPing(t *testing.T) {
	t.Parallel()
	for name, n := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment{servers: startNodes(t, n)}
			withoutPing(t, d)
		})
	}
}

func withoutPing(t *testing.T, d deployment) {
	s := session(t, d.store(t, d.user(t, "u", "-ping")), time.Second)
	ids := func() string {
		var ids []string
		for line := range strings.Lines(do(t, d.servers[0], "CLIENT", "LIST", "TYPE", "pubsub")) {
			id, _, _ := strings.Cut(line, " ")
			ids = append(ids, id)
		}
		return fmt.Sprint(ids)
	}
	before := ids()
	until(t, "three pings were refused", func() bool {
		apply(t, s)
		stat := do(t, d.servers[0], "INFO", "commandstats")
		_, ping, _ := strings.Cut(stat, "cmdstat_ping:")
		_, n, _ := strings.Cut(ping, "rejected_calls=")
		return len(n) > 0 && n[0] >= '3'
	})
	if after := ids(); after != before || !strings.Contains(after, "id=") {
		t.Errorf("subscribed as %s, and as %s later", before, after)
	}
}

// TestIdleConnectionsAreClosed has servers close what connections there are, as they and
// proxies do with idle ones.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		s := session(t, d.store(t, client.UniversalOptions{}), 20*time.Second)
		for owner := range uint64(10) {
			op := mutexOp(owner+1, fmt.Sprint("n", owner))
			for _, op := range []backend.Op{op, released(op)} {
				d.each(t, "CLIENT", "KILL", "TYPE", "normal")
				results, leases, err := s.Apply(patient(t), []backend.Op{op})
				if err != nil || results[0].State != backend.Granted && results[0].State != backend.Released {
					t.Fatalf("%+v, %v", results, err)
				}
				for _, l := range leases {
					if l.Err != nil {
						t.Errorf("the lease was not renewed: %v", l.Err)
					}
				}
			}
		}
		granted(t, s, mutexOp(11, "n"))
		d.each(t, "CLIENT", "KILL", "TYPE", "normal")
		d.each(t, "CLIENT", "KILL", "TYPE", "pubsub")
		if err := s.Close(patient(t)); err != nil {
			t.Errorf("Close: %v", err)
		}
		granted(t, session(t, d.store(t, client.UniversalOptions{}), 20*time.Second), mutexOp(1, "n"))
	})
}

// TestEvictionBegins changes servers that are in use to such as evict keys.
func TestEvictionBegins(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		s := session(t, redis.FitEvery(d.store(t, client.UniversalOptions{}), 20*time.Millisecond), 20*time.Second)
		held := mutexOp(1, "held")
		granted(t, s, held)
		d.each(t, "CONFIG", "SET", "maxmemory", "100mb")
		d.each(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		noticed(t, s, "maxmemory-policy")
		op := mutexOp(2, "n")
		until(t, "nothing more is granted", func() bool {
			r := apply(t, s, op)[0]
			if r.State == backend.Granted {
				apply(t, s, released(op))
				return false
			}
			if r.State != backend.Refused || !strings.Contains(r.Err.Error(), "allkeys-lru") {
				t.Fatalf("state %d, %v; want Refused", r.State, r.Err)
			}
			return true
		})
		granted(t, s, held) // It is held all the while.
		d.each(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
		until(t, "granted again", func() bool { return state(t, s, op) == backend.Granted })
		if got := state(t, s, released(held)); got != backend.Released {
			t.Errorf("state %d, want Released", got)
		}
	})
}

// TestKeysExpire leaves everything behind that sessions make, and looks which keys stay
// for ever.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		st := d.store(t, client.UniversalOptions{})
		var all []backend.Session
		for range 3 {
			s, err := st.Open(patient(t), 30*time.Second, backend.ClientInfo{Host: "host", PID: 1})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		owner := uint64(0)
		for i := range 40 {
			for _, kind := range []string{"mutex", "write lock", "read lock", "ticket"} {
				for _, s := range all {
					owner++
					apply(t, s, kinds(owner, fmt.Sprint("n", i))[kind])
				}
			}
		}
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		all[0].Close(dead) // as if it was killed
		apply(t, all[1])
		for _, s := range all[1:] {
			s.Close(dead)
		}
		seen := 0
		for _, s := range d.servers {
			v, err := s.Do("KEYS", "*")
			if err != nil {
				t.Fatal(err)
			}
			keys, _ := v.([]any)
			for _, key := range keys {
				left, err := s.Do("PTTL", key.(string))
				if err != nil {
					t.Fatal(err)
				}
				_, name, _ := strings.Cut(strings.TrimPrefix(key.(string), "t:"), ":")
				if name == "" {
					name = strings.TrimPrefix(key.(string), "t:")
				}
				if left == int64(-1) && !slices.Contains([]string{"format", "o"}, name) && !slices.Contains(lasting, key.(string)) {
					t.Errorf("%s never expires", key)
				}
				seen++
			}
		}
		if seen < 100 {
			t.Errorf("%d keys in all", seen)
		}
	})
}

// documented returns the rights that the package's documentation lists.
func documented(t *testing.T) (rules []string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "ACL SETUSER app on >secret")
	list, _, ok := strings.Cut(list, "\n//\n")
	if !ok {
		t.Fatal("the documentation has no list of rights")
	}
	for _, word := range strings.Fields(list) {
		if word != "//" {
			rules = append(rules, strings.ReplaceAll(word, "dlock:", "t:"))
		}
	}
	return rules
}

// TestDocumentedRights takes all others away.
func TestDocumentedRights(t *testing.T) {
	t.Parallel()
	rules := append([]string{"resetkeys", "resetchannels"}, documented(t)...)
	onAll(t, func(t *testing.T, d deployment) {
		rules := slices.Clone(rules)
		switch {
		case d.cluster:
			rules = append(rules, "+cluster|slots", "+cluster|shards")
		case len(d.servers) > 1:
			rules = append(rules, "+hvals", "+hscan", "+hsetnx", "+zunionstore")
		}
		o := d.user(t, "u", rules...)
		a, b := session(t, d.store(t, o), 20*time.Second), session(t, d.store(t, o), 20*time.Second)
		for kind, op := range kinds(1, "n") {
			if kind != "read lock" {
				op.Limit = 1
				handOver(t, a, b, op)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		for _, s := range []backend.Session{a, b} {
			for events, err := s.Recv(ctx); err == nil; events, err = s.Recv(ctx) {
				for _, e := range events {
					if e.Kind == backend.EventNotice {
						t.Errorf("a notice: %v", e.Err)
					}
				}
			}
		}
	})
}
