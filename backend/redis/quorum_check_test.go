package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/redistest"
)

// A watched session is one whose events are taken.
type watched struct {
	backend.Session
	events chan backend.Event
}

// watch takes the events of a session until it ends.
func watch(t *testing.T, s backend.Session) *watched {
	t.Helper()
	w := &watched{s, make(chan backend.Event, 1<<14)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			events, err := s.Recv(ctx)
			if err != nil {
				return
			}
			for _, e := range events {
				w.events <- e
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// lostOf returns the owners that events told to be lost since, with the reasons.
func (w *watched) lostOf() map[uint64]error {
	lost := make(map[uint64]error)
	for {
		select {
		case e := <-w.events:
			if e.Kind == backend.EventLost {
				lost[e.Owner] = e.Err
			}
		default:
			return lost
		}
	}
}

// removeLock deletes one lock that is held from a server.
func removeLock(t *testing.T, s *redistest.Server, lock string) {
	t.Helper()
	for _, kind := range []string{"h", "r"} {
		do(t, s, "DEL", "t:q:"+kind+":"+lock)
	}
}

// everywhere waits until all servers have as many keys of locks that are held, by a session
// whose heartbeats ask a node that was slow.
func everywhere(t *testing.T, servers []*redistest.Server, n int, holder ...backend.Session) {
	t.Helper()
	for i, s := range servers {
		until(t, fmt.Sprintf("node %d has %d votes", i, n), func() bool {
			for _, s := range holder {
				leases(t, s)
			}
			return votes(t, s, "hr") == n
		})
	}
}

// TestQuorumDeletedLockIsLost deletes the keys of one lock of each kind from a majority,
// and expects that its holder alone is told, within the time to live.
func TestQuorumDeletedLockIsLost(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	d := deployment{servers: startNodes(t, 3)}
	c := open(t, urlOn(d.servers)+"?max-ttl=3s&prefix=t:", ttl)
	other := acquire(t, c.Mutex("other"))
	for kind, l := range map[string]struct {
		name    string
		acquire func(context.Context) (*dlock.Hold, error)
	}{
		"mutex":      {"mn", c.Mutex("n").Acquire},
		"write lock": {"rw", c.RWMutex("w").Acquire},
		"read lock":  {"rr", c.RWMutex("r").AcquireRead},
		"ticket":     {"sn", c.Semaphore("n", 2).Acquire},
	} {
		h, err := l.acquire(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		everywhere(t, d.servers, 2)
		began := time.Now()
		for _, s := range d.servers[:2] {
			removeLock(t, s, l.name)
		}
		lost(t, h)
		if d := time.Since(began); d > ttl+ttl { // A busy machine beats late.
			t.Errorf("%s: the loss was told after %v", kind, d)
		}
		if err := h.Release(patient(t)); !errors.Is(err, dlock.ErrLost) {
			t.Errorf("%s: Release: %v", kind, err)
		}
		if cause := h.Err(); !strings.Contains(cause.Error(), "deleted or evicted") || !strings.Contains(cause.Error(), d.servers[0].Addr()) {
			t.Errorf("%s: the cause is %v", kind, cause)
		}
		everywhere(t, d.servers, 1)
	}
	if other.Err() != nil {
		t.Errorf("a hold that nobody has touched: %v", other.Err())
	}
	release(t, other)
}

// TestQuorumMendsADeletedVote deletes a lock from one node after the other: the hold
// stands on the others, and has the vote again.
func TestQuorumMendsADeletedVote(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	s := watch(t, session(t, d.store(t, client.UniversalOptions{}), 5*time.Second))
	for owner, op := range map[uint64]backend.Op{1: kinds(1, "n")["mutex"], 2: kinds(2, "n")["read lock"], 3: kinds(3, "n")["ticket"]} {
		granted(t, s, op)
		everywhere(t, d.servers, 1, s)
		for i, server := range d.servers {
			remove(t, server)
			until(t, fmt.Sprintf("node %d has its vote again", i), func() bool {
				leases(t, s)
				return votes(t, server, "hr") == 1
			})
		}
		if lost := s.lostOf(); len(lost) > 0 {
			t.Fatalf("lost: %v", lost)
		}
		if got := state(t, s, released(op)); got != backend.Released {
			t.Errorf("owner %d: state %d", owner, got)
		}
		everywhere(t, d.servers, 0)
	}
}

// TestQuorumSecondHolderComesAndGoes deletes a lock from a majority, and has another
// session hold and release it before the first one looks.
func TestQuorumSecondHolderComesAndGoes(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(t *testing.T, servers []*redistest.Server){
		"deleted from a majority": func(t *testing.T, servers []*redistest.Server) {
			removeLock(t, servers[0], "mn")
			removeLock(t, servers[1], "mn")
		},
		"one node has ended the session": func(t *testing.T, servers []*redistest.Server) {
			do(t, servers[0], "DEL", "t:q:live")
			removeLock(t, servers[1], "mn")
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := deployment{servers: startNodes(t, 3)}
			st := d.store(t, client.UniversalOptions{})
			a := watch(t, session(t, st, 20*time.Second))
			op, stays := mutexOp(1, "n"), mutexOp(2, "stays")
			first := granted(t, a, op)
			granted(t, a, stays)
			everywhere(t, d.servers, 2, a)
			fault(t, d.servers)
			b := session(t, st, 20*time.Second)
			if second := granted(t, b, op); second.Ordinal <= first.Ordinal {
				t.Errorf("ordinal %d after %d", second.Ordinal, first.Ordinal)
			}
			if got := state(t, b, released(op)); got != backend.Released {
				t.Fatalf("state %d", got)
			}
			b.Close(patient(t))
			lost := make(map[uint64]error)
			until(t, "the loss is told", func() bool {
				leases(t, a)
				for owner, err := range a.lostOf() {
					lost[owner] = err
				}
				return len(lost) > 0
			})
			if lost[1] == nil || len(lost) > 1 {
				t.Errorf("lost: %v", lost)
			}
			// It gets no votes again either, however often it looks.
			for range 3 {
				time.Sleep(100 * time.Millisecond)
				leases(t, a)
			}
			if got := state(t, a, released(op)); got != backend.NotHeld {
				t.Errorf("the release of what another has held since: state %d, want NotHeld", got)
			}
			if got := state(t, a, released(stays)); got != backend.Released {
				t.Errorf("the release of the other lock: state %d", got)
			}
		})
	}
}

// TestQuorumVoteThatNeedsConfirmation has a node end a session, and give a higher token
// to another name of the bucket: the vote comes back when the others have confirmed
// theirs.
func TestQuorumVoteThatNeedsConfirmation(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	s := watch(t, session(t, d.store(t, client.UniversalOptions{}), 5*time.Second))
	op := mutexOp(1, "n")
	granted(t, s, op)
	everywhere(t, d.servers, 1, s)
	v, err := d.servers[0].Do("HKEYS", "t:q:floor")
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range v.([]any) {
		do(t, d.servers[0], "HSET", "t:q:floor", fmt.Sprint(bucket), fmt.Sprint(backend.OrdinalAt(time.Now().Add(time.Minute))))
	}
	removeLock(t, d.servers[0], "mn")
	do(t, d.servers[0], "DEL", "t:q:live")
	until(t, "the vote is there again", func() bool {
		leases(t, s)
		return votes(t, d.servers[0], "h") == 1
	})
	if lost := s.lostOf(); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
	if got := state(t, s, released(op)); got != backend.Released {
		t.Errorf("state %d", got)
	}
}

// TestQuorumChecksAThousandHolds deletes a thousand locks, and expects all to be found
// out by the heartbeats of one time to live, and no more by each than it is to ask for.
func TestQuorumChecksAThousandHolds(t *testing.T) {
	t.Parallel()
	const ttl, most = 12 * time.Second, 350
	d := deployment{servers: startNodes(t, 3)}
	s := watch(t, session(t, d.store(t, client.UniversalOptions{}), ttl))
	var ops []backend.Op
	for i := range 1000 {
		ops = append(ops, mutexOp(uint64(i+1), fmt.Sprint("n", i)))
	}
	grantedAll(t, s, ops)
	everywhere(t, d.servers, len(ops))
	for _, server := range d.servers {
		remove(t, server)
	}
	told := make(map[uint64]bool)
	for beat := range 3 {
		time.Sleep(ttl / 3)
		leases(t, s)
		want := min(len(ops), (beat+1)*most)
		until(t, fmt.Sprint(want, " losses are told"), func() bool {
			for owner, why := range s.lostOf() {
				if !strings.Contains(why.Error(), "deleted or evicted") {
					t.Skipf("a busy machine has not renewed the session: %v", why)
				}
				told[owner] = true
			}
			return len(told) >= want-beat // Who beats a little early checks a little less.
		})
		if lost := len(told); lost > want+most { // Granting them may have been the first look.
			t.Errorf("%d losses were found by %d heartbeats", lost, beat+1)
		}
	}
	if lost := len(told); lost < len(ops)-5 {
		t.Errorf("%d of %d losses were told within the time to live", lost, len(ops))
	}
}

// grantedAll waits until all ops are granted.
func grantedAll(t *testing.T, s backend.Session, ops []backend.Op) {
	t.Helper()
	until(t, "all are granted", func() bool {
		for i, r := range apply(t, s, ops...) {
			switch r.State {
			case backend.Granted:
			case backend.Unknown, backend.Queued: // A busy machine takes its time for so many.
				return false
			default:
				t.Fatalf("%d: state %d, %v", i, r.State, r.Err)
			}
		}
		return true
	})
}
