package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/redistest"
)

func lockOp(do backend.Do, owner uint64) backend.Op {
	return backend.Op{Do: do, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Owner: owner, Name: "a"}
}

// votes returns how many keys about locks a server has, of the kinds given.
func votes(t *testing.T, s *redistest.Server, kinds string) int {
	t.Helper()
	v, err := s.Do("KEYS", "*:q:["+kinds+"]:*")
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := v.([]any)
	return len(keys)
}

// What a node has forgotten it must not give to another before the first holder's lease
// is over.
func TestQuorumRestartEmpty(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	servers := startNodes(t, 3)
	st := storeOn(t, servers, "t:").WithMaxTTL(ttl)
	next := session(t, st, ttl)
	// The holder has the votes of the first two, and never reaches the third.
	gone := redistest.New(t)
	gone.Kill()
	holder := session(t, storeOn(t, []*redistest.Server{servers[0], servers[1], gone}, "t:").WithMaxTTL(ttl), ttl)
	r := apply(t, holder, lockOp(backend.Acquire, 1))[0]
	if r.State != backend.Granted {
		t.Fatalf("state %d, %v", r.State, r.Err)
	}
	if err := servers[1].RestartEmpty(); err != nil {
		t.Fatal(err)
	}
	for owner := uint64(1); ; {
		r2 := apply(t, next, lockOp(backend.Acquire, owner))[0]
		now := time.Now()
		if r2.State == backend.Granted {
			if now.Before(r.Grant.Lease.Until) {
				t.Fatalf("another holds %v before the lease ends", time.Until(r.Grant.Lease.Until))
			}
			if r2.Grant.Ordinal <= r.Grant.Ordinal {
				t.Errorf("ordinal %d after %d", r2.Grant.Ordinal, r.Grant.Ordinal)
			}
			return
		}
		if now.After(r.Grant.Lease.Until.Add(patience)) {
			t.Fatalf("nobody gets the lock: state %d, %v", r2.State, r2.Err)
		}
		if r2.State != backend.Unknown { // One whose outcome is unknown may have it.
			owner++
		}
		time.Sleep(time.Millisecond)
	}
}

// A hold survives that all nodes are restarted without their data, one by one.
func TestQuorumRollingRestart(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	servers := startNodes(t, 3)
	url := urlOn(servers) + "?max-ttl=2s&prefix=t:"
	a, b := open(t, url, ttl), open(t, url, ttl)
	h := acquire(t, a.Mutex("a"))
	readers := acquire2(t, a.RWMutex("r"))
	first, _ := h.Token()
	for round := range 2 {
		for i, s := range servers {
			if err := s.RestartEmpty(); err != nil {
				t.Fatal(err)
			}
			until(t, fmt.Sprintf("node %d has the votes again, round %d", i, round), func() bool {
				if b.Mutex("a").TryLock() || b.RWMutex("r").TryLock() {
					t.Fatal("granted beside the holder")
				}
				return votes(t, s, "h") == 1 && votes(t, s, "r") == 1
			})
		}
		if h.Err() != nil || readers.Err() != nil {
			t.Fatal(h.Err(), readers.Err())
		}
	}
	release(t, h)
	release(t, readers)
	next := acquire(t, b.Mutex("a"))
	if token, _ := next.Token(); token <= first {
		t.Errorf("token %d after %d", token, first)
	}
	release(t, next)
}

// TestQuorumMendsAllAtOnce restarts a node that has many votes, which are all back after
// one heartbeat.
func TestQuorumMendsAllAtOnce(t *testing.T) {
	t.Parallel()
	const ttl, locks = 30 * time.Second, 3000
	servers := startNodes(t, 3)
	s := session(t, storeOn(t, servers, "t:"), ttl)
	var ops []backend.Op
	for i := range locks {
		ops = append(ops, mutexOp(uint64(i+1), fmt.Sprint("n", i)))
	}
	grantedAll(t, s, ops)
	everywhere(t, servers, locks, s)
	if err := servers[0].RestartEmpty(); err != nil {
		t.Fatal(err)
	}
	leases(t, s)
	until(t, "the node has all votes", func() bool { return votes(t, servers[0], "h") == locks })
}

func acquire2(t *testing.T, l *dlock.RWMutex) *dlock.Hold {
	t.Helper()
	h, err := l.AcquireRead(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A minority that hangs costs nobody the time that it hangs.
func TestQuorumMinorityHangs(t *testing.T) {
	servers := startNodes(t, 5)
	c := open(t, urlOn(servers), 6*time.Second)
	servers[0].Pause()
	servers[3].Pause()
	began := time.Now()
	const pairs = 50 // Each would take a third of the time to live.
	for range pairs {
		release(t, acquire(t, c.Mutex("a")))
	}
	if d := time.Since(began); d > pairs*time.Second/2 {
		t.Errorf("%d pairs took %v", pairs, d)
	}
	servers[0].Resume()
	servers[3].Resume()
	// What waited for them on their connections leaves nothing behind.
	for i, s := range servers {
		until(t, fmt.Sprintf("node %d is empty", i), func() bool { return votes(t, s, "hrwx") == 0 })
	}
}

// Without a majority nothing is granted, what is held is lost in time, and nothing
// hangs.
func TestQuorumMajorityAway(t *testing.T) {
	for _, how := range []string{"hangs", "is dead"} {
		t.Run(how, func(t *testing.T) {
			const ttl = time.Second
			servers := startNodes(t, 3)
			c := open(t, urlOn(servers)+"?max-ttl=1s", ttl)
			h := acquire(t, c.Mutex("a"))
			lost := make(chan time.Time, 1)
			for _, s := range servers[:2] {
				if how == "hangs" {
					s.Pause()
				} else {
					s.Kill()
				}
			}
			began := time.Now()
			go func() { <-h.Lost(); lost <- time.Now() }()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := c.Mutex("b").LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("LockContext: %v", err)
			}
			if ok, err := c.Mutex("c").TryLockContext(t.Context()); ok || err == nil {
				t.Errorf("TryLockContext: %v, %v", ok, err)
			}
			select {
			case at := <-lost:
				if d := at.Sub(began); d < ttl/3 {
					t.Errorf("lost after %v", d)
				}
			case <-time.After(patience):
				t.Fatal("the loss was not told")
			}
			if err := h.Release(patient(t)); !errors.Is(err, dlock.ErrLost) {
				t.Errorf("Release: %v", err)
			}
			for _, s := range servers[:2] {
				s.Resume()
				if err := s.Start(); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"a", "b", "c"} {
				release(t, acquire(t, c.Mutex(name)))
			}
			for i, s := range servers {
				until(t, fmt.Sprintf("node %d is empty", i), func() bool { return votes(t, s, "hrwx") == 0 })
			}
		})
	}
}

// An attempt that fails gives back what it got, also what it gets after it was given
// up, and over a connection that was given up.
func TestQuorumLateGrants(t *testing.T) {
	for _, c := range []struct {
		pause time.Duration
		what  string
	}{{0, "the same connection"}, {1300 * time.Millisecond, "another connection"}} {
		t.Run(c.what, func(t *testing.T) {
			const ttl = 2 * time.Second // A connection is given up after half of it.
			servers := startNodes(t, 3)
			st := storeOn(t, servers, "t:")
			a := session(t, st, ttl)
			servers[1].Pause()
			servers[2].Pause()
			began := time.Now()
			if r := apply(t, a, lockOp(backend.Acquire, 1))[0]; r.State != backend.Unknown {
				t.Fatalf("state %d, %v", r.State, r.Err)
			}
			if d := time.Since(began); d > ttl {
				t.Errorf("Apply took %v", d)
			}
			if r := apply(t, a, lockOp(backend.Release, 1))[0]; r.State != backend.Unknown {
				t.Errorf("state %d: the nodes cannot have answered", r.State)
			}
			for time.Since(began) < c.pause {
				apply(t, a, lockOp(backend.Release, 1))
			}
			servers[1].Resume()
			servers[2].Resume()
			until(t, "released", func() bool { return apply(t, a, lockOp(backend.Release, 1))[0].State == backend.Released })
			b := session(t, st, ttl)
			until(t, "granted to another", func() bool {
				apply(t, a, lockOp(backend.Release, 1)) // The first session lives on.
				return apply(t, b, lockOp(backend.Acquire, uint64(time.Now().UnixNano())))[0].State == backend.Granted
			})
			if n := votes(t, servers[0], "h") + votes(t, servers[1], "h") + votes(t, servers[2], "h"); n < 2 {
				t.Errorf("%d votes", n)
			}
			b.Close(t.Context())
			for i, s := range servers {
				until(t, fmt.Sprintf("node %d is empty", i), func() bool {
					apply(t, a) // A node that was not waited for is cleared by who comes by.
					return votes(t, s, "hrwx") == 0
				})
			}
		})
	}
}

// A grant that took most of its time to live is no grant.
func TestQuorumSlowAcquire(t *testing.T) {
	const ttl = 3 * time.Second
	servers := startNodes(t, 3)
	a := session(t, storeOn(t, servers, "t:"), ttl)
	servers[1].Pause()
	servers[2].Pause()
	began := time.Now()
	apply(t, a, lockOp(backend.Acquire, 1))
	time.AfterFunc(ttl-ttl/10-time.Since(began), func() {
		servers[1].Resume()
		servers[2].Resume()
	})
	until(t, "granted", func() bool {
		r := apply(t, a, lockOp(backend.Acquire, 1))[0]
		if r.State == backend.Granted && time.Until(r.Grant.Lease.Until) < ttl/10 {
			t.Errorf("granted for %v", time.Until(r.Grant.Lease.Until))
		}
		return r.State == backend.Granted
	})
}

func TestQuorumMisuse(t *testing.T) {
	t.Parallel()
	servers := startNodes(t, 3)
	fails := func(what string, b backend.Backend, ttl time.Duration, words ...string) {
		t.Helper()
		s, err := b.Open(patient(t), ttl, backend.ClientInfo{})
		if err == nil {
			s.Close(t.Context())
			t.Errorf("%s: no error", what)
			return
		}
		if !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: %v does not wrap ErrUnsupported", what, err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", what, err, w)
			}
		}
	}
	byURL := func(url string) backend.Backend {
		t.Helper()
		b, err := backend.FromURL(url)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	twice := strings.Replace(servers[0].Addr(), "127.0.0.1", "localhost", 1)
	fails("one server twice", byURL("redis://"+servers[0].Addr()+","+twice+","+servers[1].Addr()), time.Second, "same server", servers[0].Addr())
	fails("a time to live that is too long", byURL(urlOn(servers)+"?max-ttl=5s"), 6*time.Second, "6s", "5s")
	fails("two nodes", storeOn(t, servers[:2], "t:"), time.Second, "2 nodes")
	for _, url := range []string{urlOn(servers[:2]), urlOn(servers) + "?max-ttl=x", "redis://a?max-ttl=3s"} {
		if b, err := backend.FromURL(url); err == nil {
			t.Errorf("%s is %v", url, b)
		}
	}
	if got, want := byURL("redis://user:secret@a:1,b:2,c/3").String(), "redis://a:1,b:2,c:6379/3"; got != want {
		t.Errorf("String is %q, want %q", got, want)
	}
	host, port, _ := strings.Cut(servers[0].Addr(), ":")
	replica := redistest.New(t, "replicaof "+host+" "+port)
	fails("a replica", storeOn(t, []*redistest.Server{servers[0], servers[1], replica}, "t:"), time.Second, replica.Addr(), "replica")
	evicting := redistest.New(t, "maxmemory 100mb", "maxmemory-policy allkeys-lru")
	fails("a server that evicts", storeOn(t, []*redistest.Server{servers[0], servers[1], evicting}, "t:"), time.Second, evicting.Addr(), "noeviction")
	member := redistest.New(t, "cluster-enabled yes")
	fails("a member of a cluster", storeOn(t, []*redistest.Server{servers[0], servers[1], member}, "t:"), time.Second, member.Addr(), "Cluster")
	s, err := storeOn(t, []*redistest.Server{servers[0]}, "t:").Open(t.Context(), time.Second, backend.ClientInfo{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
	for _, s := range servers[1:] {
		s.Kill()
	}
	if s, err := storeOn(t, servers, "t:").Open(patient(t), time.Second, backend.ClientInfo{}); err == nil {
		s.Close(t.Context())
		t.Error("opened without a majority")
	} else if errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), servers[1].Addr()) {
		t.Errorf("without a majority: %v", err)
	}
}

// While the outcome of an Acquire is unknown, so is that of a Release behind it: it will
// be sent again behind the Acquire.
func TestQuorumUnknownInOrder(t *testing.T) {
	t.Parallel()
	servers := startNodes(t, 3)
	s := session(t, storeOn(t, servers, "t:"), time.Second)
	servers[0].Kill()
	servers[1].Kill()
	until(t, "the nodes are known to be dead", func() bool {
		_, _, err := s.Apply(t.Context(), nil)
		r := apply(t, s, lockOp(backend.Acquire, 1), lockOp(backend.Release, 1), lockOp(backend.Acquire, 2))
		if r[0].State != backend.Unknown || r[1].State != backend.Unknown || r[2].State != backend.Unknown {
			t.Fatalf("results %v", r)
		}
		return err == nil && r[0].Err != nil && strings.Contains(r[0].Err.Error(), "refused")
	})
}
