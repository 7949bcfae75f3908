package redis_test

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// TestOrdinalsOutrunTheClock puts the last ordinal into the future, as it is when
// the server's clock was set back.
func TestOrdinalsOutrunTheClock(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := open(t, "redis://"+s.Addr(), time.Second)
	do(t, s, "SET", "dlock:o", "2000000000000000")
	last := uint64(2_000_000_000_000_000) << 12
	for range 100 {
		h := acquire(t, c.Mutex("a"))
		token, _ := h.Token()
		if token <= last {
			t.Fatalf("token %d came after %d", token, last)
		}
		last = token
		release(t, h)
	}
}

// TestOrdinalsCountFrom2020 expects the ordinals of all ways to a grant, and what
// Inspect tells of them, to be times of now.
func TestOrdinalsCountFrom2020(t *testing.T) {
	t.Parallel()
	for name, nodes := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := storeOn(t, startNodes(t, nodes), "t:").WithMaxTTL(30 * time.Second)
			a, b := session(t, st, 30*time.Second), session(t, st, 30*time.Second)
			reader, ticket := mutexOp(3, "n"), mutexOp(4, "n")
			reader.Class, reader.Mode = backend.RWMutex, backend.Shared
			ticket.Class, ticket.Limit = backend.Semaphore, 2
			for _, r := range apply(t, a, mutexOp(1, "n"), reader, ticket) {
				counted(t, "a grant", r.Grant.Ordinal)
			}
			apply(t, b, mutexOp(5, "n"))
			holders, waiters, err := st.Inspect(patient(t), backend.Mutex, "n")
			if err != nil || len(holders) != 1 || len(waiters) != 1 {
				t.Fatalf("Inspect: %v, %v, %v", holders, waiters, err)
			}
			counted(t, "a holder", holders[0].Ordinal)
			for _, s := range []backend.Participant{holders[0], waiters[0]} {
				if d := time.Since(s.Since).Abs(); d > time.Minute {
					t.Errorf("since is %v away from now", d)
				}
			}
			apply(t, a, released(mutexOp(1, "n")))
			counted(t, "one that was passed on", granted(t, b, mutexOp(5, "n")).Ordinal)
		})
	}
}

// counted fails the test for an ordinal that does not count from 2020 by the clock.
func counted(t *testing.T, what string, ordinal uint64) {
	t.Helper()
	if at := backend.OrdinalTime(ordinal); time.Since(at).Abs() > time.Minute || ordinal > backend.MaxOrdinal {
		t.Errorf("the ordinal of %s is %d, which is %v", what, ordinal, at)
	}
}

// granted waits until the session holds what op asks for.
func granted(t *testing.T, s backend.Session, op backend.Op) (g backend.Grant) {
	t.Helper()
	until(t, "granted", func() bool {
		r := apply(t, s, op)[0]
		g = r.Grant
		return r.State == backend.Granted
	})
	return g
}

// TestQuorumOrdinalsAfterLostData expects servers that may have forgotten ordinals to
// begin above those that they may have given, and no further away.
func TestQuorumOrdinalsAfterLostData(t *testing.T) {
	t.Parallel()
	const most = time.Second
	servers := startNodes(t, 3)
	st := storeOn(t, servers, "t:").WithMaxTTL(most)
	first := granted(t, session(t, st, most), mutexOp(1, "n")).Ordinal
	for _, s := range servers {
		if err := s.RestartEmpty(); err != nil {
			t.Fatal(err)
		}
		// It has lost its marker beside nodes that have theirs.
		session(t, st, most)
	}
	s := session(t, st, most)
	second := granted(t, s, mutexOp(1, "n")).Ordinal
	if counted(t, "a new grant", second); second <= first {
		t.Errorf("ordinal %d came after %d", second, first)
	}
}

// TestQuorumCapsOrdinals asks a quorum for an ordinal from a clock that is years ahead.
func TestQuorumCapsOrdinals(t *testing.T) {
	t.Parallel()
	s := session(t, redis.ClockAhead(storeOn(t, startNodes(t, 3), "t:"), 100*365*24*time.Hour), 10*time.Second)
	counted(t, "a client with a bad clock", granted(t, s, mutexOp(1, "n")).Ordinal)
}
