package redis_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/internal/redistest"
)

var quorumFor = flag.Duration("quorum.for", 6*time.Second, "for how long TestQuorumChaos harms its nodes")

// A span is a hold as its holder saw it: it held for sure from begin to end.
type span struct {
	begin, end time.Time
	token      uint64
	shared     bool
}

// A record is the spans of one lock.
type record struct {
	mu    sync.Mutex
	spans []span
}

// visit takes a lock, uses it for a moment, and notes for how long it was held.
func (r *record) visit(ctx context.Context, shared bool, stay time.Duration, acquire func(context.Context) (*dlock.Hold, error)) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	h, err := acquire(ctx)
	if err != nil {
		return
	}
	s := span{begin: time.Now(), shared: shared}
	s.token, _ = h.Token()
	for over := s.begin.Add(stay); ; time.Sleep(200 * time.Microsecond) {
		now := time.Now() // before it is asked whether the lock is held
		if h.Err() != nil {
			break
		}
		if s.end = now; now.After(over) {
			break
		}
	}
	bounded, done := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer done()
	h.Release(bounded)
	if !s.end.IsZero() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.spans = append(r.spans, s)
	}
}

// check returns what is wrong with the spans of a lock that limit may hold at once, if
// they are not readers.
func (r *record) check(limit int) error {
	slices.SortFunc(r.spans, func(a, b span) int { return a.begin.Compare(b.begin) })
	var inside []span
	seen := make(map[uint64]bool)
	last := uint64(0)
	for _, s := range r.spans {
		if seen[s.token] {
			return fmt.Errorf("token %d was given twice", s.token)
		}
		seen[s.token] = true
		inside = slices.DeleteFunc(inside, func(other span) bool { return other.end.Before(s.begin) })
		readers := 0
		for _, other := range inside {
			if other.shared {
				readers++
			}
		}
		writers := len(inside) - readers
		switch {
		case s.shared && writers > 0, !s.shared && readers > 0, !s.shared && writers >= limit:
			return fmt.Errorf("held at %v by %d writers and %d readers, when another came (shared: %v)", s.begin, writers, readers, s.shared)
		case limit == 1 && !s.shared && s.token <= last:
			return fmt.Errorf("token %d after %d", s.token, last)
		}
		if !s.shared {
			last = s.token
		}
		inside = append(inside, s)
	}
	return nil
}

// Whatever happens to the nodes, as long as one of them remembers, there are never too
// many holders, tokens grow, and all locks are free in the end.
func TestQuorumChaos(t *testing.T) {
	const ttl = time.Second
	random := backendtest.Rand(t)
	servers := startNodes(t, 3)
	url := urlOn(servers) + "?max-ttl=1s&prefix=t:"
	var clients []*dlock.Client
	for range 4 {
		clients = append(clients, open(t, url, ttl))
	}
	const limit = 2
	var mutex, semaphore, rw record
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i, c := range clients {
		for j := range 3 {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			all.Go(func() {
				for ctx.Err() == nil {
					stay := time.Duration(own.IntN(5000)) * time.Microsecond
					if own.IntN(20) == 0 {
						stay = time.Duration(own.IntN(1500)) * time.Millisecond
					}
					switch (i + j) % 3 {
					case 0:
						mutex.visit(ctx, false, stay, c.Mutex("a").Acquire)
					case 1:
						semaphore.visit(ctx, false, stay, c.Semaphore("a", limit).Acquire)
					case 2:
						if own.IntN(3) == 0 {
							rw.visit(ctx, false, stay, c.RWMutex("a").Acquire)
						} else {
							rw.visit(ctx, true, stay, c.RWMutex("a").AcquireRead)
						}
					}
				}
			})
		}
	}
	harm(t, random, servers, *quorumFor)
	time.Sleep(200 * time.Millisecond)
	cancel()
	all.Wait()
	for name, r := range map[string]*record{"mutex": &mutex, "semaphore": &semaphore, "rwmutex": &rw} {
		n := limit
		if name != "semaphore" {
			n = 1
		}
		if err := r.check(n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if least := int(2 * quorumFor.Seconds()); len(r.spans) < least { // An eighth of what is common.
			t.Errorf("%s: it was held %d times, want %d at least", name, len(r.spans), least)
		}
		t.Logf("%s: %d holds", name, len(r.spans))
	}
	t.Cleanup(func() {
		if t.Failed() {
			dump(t, servers)
			for _, c := range clients {
				t.Logf("%+v", c.Stats())
			}
		}
	})
	last := open(t, url, ttl)
	release(t, acquire(t, last.Mutex("a")))
	release(t, acquire(t, last.RWMutex("a")))
	for range limit {
		acquire(t, last.Semaphore("a", limit))
	}
}

// harm pauses, kills and empties servers. The last one always remembers.
func harm(t *testing.T, random *rand.Rand, servers []*redistest.Server, duration time.Duration) {
	for began := time.Now(); time.Since(began) < duration; {
		i := random.IntN(len(servers))
		s := servers[i]
		pause := time.Duration(random.IntN(1500)) * time.Millisecond
		switch random.IntN(4) {
		case 0:
			s.Pause()
			time.Sleep(pause)
			s.Resume()
		case 1:
			other := servers[(i+1)%len(servers)]
			s.Pause()
			other.Pause()
			time.Sleep(pause)
			s.Resume()
			other.Resume()
		case 2:
			if i == len(servers)-1 {
				continue
			}
			if err := s.RestartEmpty(); err != nil {
				t.Error(err)
			}
			time.Sleep(pause / 2)
		case 3:
			time.Sleep(pause)
		}
	}
}

// dump logs what servers know of locks.
func dump(t *testing.T, servers []*redistest.Server) {
	for i, s := range servers {
		for _, kind := range []string{"h", "r", "w", "x"} {
			v, _ := s.Do("KEYS", "*:q:"+kind+":*")
			keys, _ := v.([]any)
			for _, key := range keys {
				fields, _ := s.Do("HGETALL", key.(string))
				t.Logf("node %d: %v: %v", i, key, fields)
			}
		}
		live, _ := s.Do("ZRANGE", "t:q:live", "0", "-1", "WITHSCORES")
		node, _ := s.Do("HGETALL", "t:q:node")
		now, _ := s.Do("TIME")
		t.Logf("node %d: %v %v now %v", i, live, node, now)
	}
}
