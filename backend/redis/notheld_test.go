package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
)

// state applies one op and returns the state of its result.
func state(t *testing.T, s backend.Session, op backend.Op) backend.State {
	t.Helper()
	return apply(t, s, op)[0].State
}

// TestReleaseOfWhatIsGone deletes locks that are held from the servers.
func TestReleaseOfWhatIsGone(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		owner := uint64(0)
		next := func() uint64 { owner++; return owner }
		for i, kind := range []string{"mutex", "write lock", "read lock", "ticket"} {
			st := d.store(t, client.UniversalOptions{}).WithPrefix(fmt.Sprint("t", i, ":"))
			a, b := session(t, st, 10*time.Second), session(t, st, 10*time.Second)
			op := kinds(next(), kind)[kind]
			granted(t, a, op)
			for _, s := range d.servers {
				remove(t, s)
			}
			if got := state(t, a, released(op)); got != backend.NotHeld {
				t.Errorf("%s, deleted: state %d, want NotHeld", kind, got)
			}
			if got := state(t, a, released(op)); got != backend.Released {
				t.Errorf("%s, released again: state %d, want Released", kind, got)
			}

			// Somebody else has it by now.
			op, other := kinds(next(), kind)[kind], kinds(next(), kind)[kind]
			granted(t, a, op)
			for _, s := range d.servers {
				remove(t, s)
			}
			granted(t, b, other)
			if got := state(t, a, released(op)); got != backend.NotHeld {
				t.Errorf("%s, of somebody else: state %d, want NotHeld", kind, got)
			}
			if got := state(t, b, released(other)); got != backend.Released {
				t.Errorf("%s: the other's release has state %d, want Released", kind, got)
			}

			// Who waits has nothing to lose.
			op, other = kinds(next(), kind)[kind], kinds(next(), kind)[kind]
			op.Mode, other.Mode, op.Limit, other.Limit = backend.Exclusive, backend.Exclusive, 1, 1
			granted(t, b, other)
			if got := state(t, a, op); got != backend.Queued {
				t.Fatalf("%s: state %d, want Queued", kind, got)
			}
			d.each(t, "FLUSHALL")
			until(t, "released after FLUSHALL", func() bool {
				results, _, err := a.Apply(patient(t), []backend.Op{released(op)})
				if err != nil {
					return true
				}
				if results[0].State == backend.NotHeld {
					t.Errorf("%s: a release of who waited is NotHeld", kind)
				}
				return results[0].State != backend.Unknown
			})
		}
	})
}

// TestReleaseAfterFlush expects the loss to be told by a session that dies, or by the
// release.
func TestReleaseAfterFlush(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		st := d.store(t, client.UniversalOptions{})
		s := session(t, st, 10*time.Second)
		op := mutexOp(1, "n")
		granted(t, s, op)
		d.each(t, "FLUSHALL")
		again := false // What is missing then the first one may have released.
		until(t, "released", func() bool {
			results, _, err := s.Apply(patient(t), []backend.Op{released(op)})
			if err != nil {
				t.Log(err)
				return true
			}
			if results[0].State == backend.Released && !again {
				t.Error("the release of what was flushed is Released")
			}
			again = true
			return results[0].State != backend.Unknown
		})
	})
}

// TestReleaseSentAgain releases a lock twice, the first time without an answer: what
// the second finds missing the first may have released.
func TestReleaseSentAgain(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, d deployment) {
		net := new(detour)
		s := session(t, d.store(t, client.UniversalOptions{Dialer: net.dial}), 3*time.Second)
		op := mutexOp(1, "n")
		granted(t, s, op)
		net.keep(true)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		results, _, err := s.Apply(ctx, []backend.Op{released(op)})
		if err != nil || results[0].State != backend.Unknown {
			t.Fatalf("%v, %v; want Unknown", results, err)
		}
		for _, s := range d.servers {
			remove(t, s)
		}
		net.keep(false)
		until(t, "released", func() bool {
			switch got := state(t, s, released(op)); got {
			case backend.Unknown:
				return false
			case backend.Released:
			default:
				t.Errorf("state %d, want Released", got)
			}
			return true
		})
		net.deliver(t)
	})
}

// TestQuorumReleaseOfAVoteThatIsGone takes one vote of three away in each way there is.
func TestQuorumReleaseOfAVoteThatIsGone(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	s := session(t, d.store(t, client.UniversalOptions{}), 5*time.Second)
	for owner, fault := range map[uint64]func(){
		1: func() { remove(t, d.servers[0]) },
		2: func() { do(t, d.servers[0], "FLUSHALL") },
		3: func() {
			if err := d.servers[0].RestartEmpty(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		op := mutexOp(owner, "n")
		granted(t, s, op)
		fault()
		until(t, "released", func() bool {
			got := state(t, s, released(op))
			if got == backend.NotHeld {
				t.Errorf("after fault %d a hold by two votes of three is NotHeld", owner)
			}
			return got != backend.Unknown
		})
	}
}

// TestQuorumReleaseOfTwoVotes has a hold by two nodes, of which one forgets it.
func TestQuorumReleaseOfTwoVotes(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	st := d.store(t, client.UniversalOptions{})
	s := session(t, st, 5*time.Second)
	d.servers[2].Kill()
	for owner, want := range []backend.State{backend.Released, backend.NotHeld} {
		op := mutexOp(uint64(owner+1), "n")
		granted(t, s, op)
		if want == backend.NotHeld {
			remove(t, d.servers[0])
		}
		if got := state(t, s, released(op)); got != want {
			t.Errorf("state %d, want %d", got, want)
		}
	}
}
