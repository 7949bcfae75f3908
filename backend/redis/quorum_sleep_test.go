package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// TestQuorumSleeper has nodes end the epochs of a session whose clock has not moved, as
// after a sleep of its machine, or lose their data, and another one hold and release the
// lock meanwhile. The first heartbeat finds out, and nothing revives the hold.
func TestQuorumSleeper(t *testing.T) {
	t.Parallel()
	expire := func(t *testing.T, servers []*redistest.Server) {
		for _, s := range servers {
			do(t, s, "DEL", "t:q:live")
		}
	}
	flush := func(t *testing.T, servers []*redistest.Server) {
		for _, s := range servers {
			do(t, s, "FLUSHALL")
		}
	}
	for what, c := range map[string]struct {
		nodes int
		fault func(t *testing.T, servers []*redistest.Server)
		next  bool // somebody else can be granted the lock at once
	}{
		"slept beyond the epochs of all nodes":     {3, expire, true},
		"slept beyond the epochs of a majority":    {2, expire, true},
		"all nodes have lost their data":           {3, flush, true},
		"a majority of nodes has lost their data":  {2, flush, false},
		"all nodes have lost theirs and none came": {3, flush, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			const ttl = 30 * time.Second
			d := deployment{servers: startNodes(t, 3)}
			st := d.store(t, client.UniversalOptions{})
			a := session(t, st, ttl)
			var before []backend.Grant
			for owner, kind := range []string{"mutex", "write lock", "ticket"} {
				before = append(before, granted(t, a, kinds(uint64(owner+1), kind)[kind]))
			}
			everywhere(t, d.servers, 3, a)
			c.fault(t, d.servers[:c.nodes])
			if c.next {
				b := session(t, st, ttl)
				for owner, kind := range []string{"mutex", "write lock", "ticket"} {
					op := kinds(uint64(owner+1), kind)[kind]
					if g := granted(t, b, op); g.Ordinal <= before[owner].Ordinal {
						t.Errorf("%s: ordinal %d after %d", kind, g.Ordinal, before[owner].Ordinal)
					}
					if got := state(t, b, released(op)); got != backend.Released {
						t.Errorf("%s: state %d, want Released", kind, got)
					}
				}
				if err := b.Close(patient(t)); err != nil {
					t.Error(err)
				}
			}

			leases(t, a) // the only one within a third of the time to live
			ctx, cancel := context.WithTimeout(t.Context(), ttl/3)
			defer cancel()
			lost := make(map[uint64]bool)
			for len(lost) < len(before) {
				events, err := a.Recv(ctx)
				if err != nil {
					t.Fatalf("lost are %v: %v", lost, err)
				}
				for _, e := range events {
					switch e.Kind {
					case backend.EventLost:
						lost[e.Owner] = true
					case backend.EventGranted:
						if lost[e.Owner] {
							t.Errorf("owner %d: granted after it was lost", e.Owner)
						}
					}
				}
			}
			for range 3 { // It gets no votes again either, however often it looks.
				time.Sleep(redis.PollEvery)
				leases(t, a)
			}
			for owner, kind := range []string{"mutex", "write lock", "ticket"} {
				op := kinds(uint64(owner+1), kind)[kind]
				if r := apply(t, a, op)[0]; r.State != backend.Failed || errors.Is(r.Err, backend.ErrOwner) || strings.Contains(r.Err.Error(), "limit") {
					t.Errorf("%s: asked again: state %d, %v; want Failed", kind, r.State, r.Err)
				}
			}
			if c.next {
				b := session(t, st, ttl)
				for owner, kind := range []string{"mutex", "write lock", "ticket"} {
					op := kinds(uint64(owner+1), kind)[kind]
					granted(t, b, op)
					if kind == "ticket" { // all of them
						op.Owner += 10
						granted(t, b, op)
					}
				}
			}
		})
	}
}
