package redis_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/redistest"
)

// lasting are the keys of a quorum's node that have no expiry.
var lasting = []string{"t:q:node", "t:q:format", "t:q:floor"}

// expiring returns the keys of a server but those, and for how long they stay.
func expiring(t *testing.T, s *redistest.Server) map[string]time.Duration {
	t.Helper()
	v, err := s.Do("KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[string]time.Duration)
	for _, key := range v.([]any) {
		if key := key.(string); !slices.Contains(lasting, key) {
			v, err := s.Do("PTTL", key)
			if err != nil {
				t.Fatal(err)
			}
			if v != int64(-2) {
				left[key] = time.Duration(v.(int64)) * time.Millisecond
			}
		}
	}
	return left
}

// TestQuorumKeysAreTouched shortens the expiry of all keys of those who hold and wait,
// and expects heartbeats to move it on.
func TestQuorumKeysAreTouched(t *testing.T) {
	t.Parallel()
	const ttl = 5 * time.Second
	d := deployment{servers: startNodes(t, 3)}
	st := d.store(t, client.UniversalOptions{})
	a, b := watch(t, session(t, st, ttl)), watch(t, session(t, st, ttl))
	var held []backend.Op
	for kind, op := range kinds(1, "n") {
		op.Owner, op.Name = uint64(len(held)+1), kind
		granted(t, a, op)
		held = append(held, op)
		op.Owner, op.Name = op.Owner+10, "awaited "+kind
		op.Mode, op.Limit = backend.Exclusive, 1
		granted(t, a, op)
		held = append(held, op)
		if got := state(t, b, op); got != backend.Queued {
			t.Fatalf("%s: state %d, want Queued", kind, got)
		}
	}
	everywhere(t, d.servers, len(held), a)
	for i, s := range d.servers {
		for key, left := range expiring(t, s) {
			if left > 13*ttl {
				t.Errorf("node %d: %s stays for %v", i, key, left)
			}
			do(t, s, "PEXPIRE", key, fmt.Sprint((8 * ttl).Milliseconds()))
		}
	}
	for i, s := range d.servers {
		until(t, fmt.Sprintf("all keys of node %d stay", i), func() bool {
			leases(t, a)
			leases(t, b)
			for _, left := range expiring(t, s) {
				if left < 8*ttl {
					return false
				}
			}
			return true
		})
	}
	if lost := a.lostOf(); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
}

// TestQuorumDeadAreForgotten kills all sessions, and expects nothing of them to be there
// after some time, though nobody comes by.
func TestQuorumDeadAreForgotten(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	d := deployment{servers: startNodes(t, 3)}
	st := d.store(t, client.UniversalOptions{})
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	var sessions []backend.Session
	for range 2 {
		s := session(t, st, ttl)
		for owner, kind := range []string{"mutex", "write lock", "read lock", "ticket"} {
			for name := range 3 {
				apply(t, s, kinds(uint64(10*owner+name+1), fmt.Sprint("n", name))[kind])
			}
		}
		for i, server := range d.servers {
			until(t, fmt.Sprintf("node %d knows the session", i), func() bool {
				leases(t, s)
				return votes(t, server, "hr") > 0
			})
		}
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		s.Close(dead)
	}
	for i, s := range d.servers {
		until(t, fmt.Sprintf("node %d has forgotten all", i), func() bool { return len(expiring(t, s)) == 0 })
	}
}
