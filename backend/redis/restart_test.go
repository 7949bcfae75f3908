package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

func TestRestartWithDataKeepsHoldsAndPlaces(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, "appendonly yes", "appendfsync always")
	const ttl = 10 * time.Second
	a, b := open(t, "redis://"+s.Addr(), ttl), open(t, "redis://"+s.Addr(), ttl)
	h := acquire(t, a.Mutex("a"))
	first, _ := h.Token()
	next := make(chan *dlock.Hold, 1)
	go func() {
		h, err := b.Mutex("a").Acquire(context.Background())
		if err != nil {
			t.Error(err)
		}
		next <- h
	}()
	until(t, "the other waits", func() bool { return waiters(t, a, "a") == 1 })
	for range 2 {
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		stands(t, h, 200*time.Millisecond)
	}
	if ok, err := open(t, "redis://"+s.Addr(), ttl).Mutex("a").TryLockContext(patient(t)); ok || err != nil {
		t.Errorf("TryLockContext is %v, %v while the lock is held", ok, err)
	}
	release(t, h)
	select {
	case h = <-next:
		if second, _ := h.Token(); second <= first {
			t.Errorf("token %d came after %d", second, first)
		}
		release(t, h)
	case <-time.After(patience):
		t.Fatal("the place of who waited is gone")
	}
}

// TestLostDataIsALoss expects a signal, and tokens that go on growing.
func TestLostDataIsALoss(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(*redistest.Server) error{
		"FLUSHALL":        func(s *redistest.Server) error { _, err := s.Do("FLUSHALL"); return err },
		"an empty server": (*redistest.Server).RestartEmpty,
	} {
		t.Run(what, func(t *testing.T) {
			s := redistest.New(t)
			a, b := open(t, "redis://"+s.Addr(), time.Second), open(t, "redis://"+s.Addr(), time.Second)
			h := acquire(t, a.Mutex("a"))
			first, _ := h.Token()
			if err := fault(s); err != nil {
				t.Fatal(err)
			}
			lost(t, h)
			h = acquire(t, b.Mutex("a"))
			if second, _ := h.Token(); second <= first {
				t.Errorf("token %d came after %d", second, first)
			}
			release(t, h)
			release(t, acquire(t, a.Mutex("a")))
		})
	}
}

// TestLostWritesAreALoss restarts a server with data that lack what it had
// acknowledged last. The session is in them and alive, but its hold is not.
func TestLostWritesAreALoss(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, "dbfilename dump.rdb")
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	st := redis.New(c)
	const ttl = 30 * time.Second
	a := session(t, st, ttl)
	apply(t, a)
	do(t, s, "SAVE")
	if r := apply(t, a, mutexOp(1, "a")); r[0].State != backend.Granted {
		t.Fatalf("state %d", r[0].State)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := do(t, s, "EXISTS", "dlock:m:a"); got != "0" {
		t.Fatal("the server has not forgotten the lock")
	}
	until(t, "the session dies", func() bool {
		_, _, err := a.Apply(patient(t), nil)
		return err != nil
	})

	// The same for a hold that was granted by the release of another session.
	a, b := session(t, st, ttl), session(t, st, ttl)
	apply(t, a, mutexOp(1, "b"))
	apply(t, b, mutexOp(1, "b"))
	apply(t, b)
	do(t, s, "SAVE")
	apply(t, a, released(mutexOp(1, "b")))
	events, err := b.Recv(patient(t))
	if err != nil || events[0].Kind != backend.EventGranted {
		t.Fatalf("%v, %v; want a grant", events, err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	until(t, "the session dies", func() bool {
		_, _, err := b.Apply(patient(t), nil)
		return err != nil
	})
}

// TestPause stops the server for less than the time to live, and for longer.
func TestPause(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	const ttl = 2 * time.Second
	a, b := open(t, "redis://"+s.Addr(), ttl), open(t, "redis://"+s.Addr(), ttl)
	h := acquire(t, a.Mutex("a"))
	s.Pause()
	stands(t, h, ttl/3)
	s.Resume()
	stands(t, h, 2*ttl)

	s.Pause()
	began := time.Now()
	lost(t, h)
	if d := time.Since(began); d > ttl+time.Second {
		t.Errorf("the loss was told after %v, with a time to live of %v", d, ttl)
	}
	s.Resume()
	release(t, acquire(t, b.Mutex("a")))
}

// TestLostAnswers releases what a server was asked for while it did not answer.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	const ttl = 3 * time.Second
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	holder := session(t, redis.New(c), time.Minute)
	ordinal := apply(t, holder, mutexOp(1, "taken"))[0].Grant.Ordinal
	for round := range 20 {
		ses := session(t, redis.New(c), ttl)
		op := mutexOp(1, fmt.Sprint("a", round))
		op.Wait = false
		taken := mutexOp(2, "taken")
		taken.Wait = false
		apply(t, ses)
		s.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		results, _, err := ses.Apply(ctx, []backend.Op{op, taken})
		cancel()
		if err != nil || results[0].State != backend.Unknown {
			t.Fatalf("%v, %v; want Unknown", results, err)
		}
		// The release goes over another connection, and the server may read that first.
		go func() {
			time.Sleep(time.Millisecond)
			s.Resume()
		}()
		until(t, "the releases are answered", func() bool {
			r := apply(t, ses, released(op), released(taken))
			return r[0].State == backend.Released && r[1].State == backend.Released
		})
		apply(t, ses)
		until(t, "the lock is free", func() bool { return do(t, s, "EXISTS", "dlock:m:"+op.Name) == "0" })
		if r := apply(t, holder, mutexOp(1, "taken")); r[0].State != backend.Granted || r[0].Grant.Ordinal != ordinal {
			t.Fatalf("a release of what was never granted has freed what another holds: %v", r)
		}
		ses.Close(patient(t))
	}
}

// TestReleaseIsNotUndone withdraws one who waits in a batch that is a heartbeat,
// too, in which those who wait ask again.
func TestReleaseIsNotUndone(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	const ttl = 600 * time.Millisecond
	a, b := session(t, redis.New(c), ttl), session(t, redis.New(c), ttl)
	apply(t, a, mutexOp(1, "a"))
	if r := apply(t, b, mutexOp(1, "a")); r[0].State != backend.Queued {
		t.Fatalf("state %d", r[0].State)
	}
	time.Sleep(ttl / 4) // A heartbeat is due after a sixth.
	apply(t, b, released(mutexOp(1, "a")))
	if n := do(t, s, "ZCARD", "dlock:qm:a"); n != "0" {
		t.Errorf("%s wait after the withdrawal", n)
	}
	apply(t, a, released(mutexOp(1, "a")))
	if n := do(t, s, "EXISTS", "dlock:m:a"); n != "0" {
		t.Error("the lock is held when all have left")
	}
}

// TestLostMessagesAreRepaired kills the subscription of who waits, right before
// his turn.
func TestLostMessagesAreRepaired(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	a, b := open(t, "redis://"+s.Addr(), 10*time.Second), open(t, "redis://"+s.Addr(), 10*time.Second)
	for range 5 {
		h := acquire(t, a.Mutex("a"))
		next := make(chan error, 1)
		go func() {
			h, err := b.Mutex("a").Acquire(context.Background())
			if err == nil {
				err = h.Release(context.Background())
			}
			next <- err
		}()
		until(t, "the other waits", func() bool { return waiters(t, a, "a") == 1 })
		do(t, s, "CLIENT", "KILL", "TYPE", "pubsub")
		release(t, h)
		began := time.Now()
		select {
		case err := <-next:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("who waits was never told of his turn")
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("the lost message was repaired after %v", d)
		}
	}
}

// TestHorizon shortens the expiry of keys, and expects it to be moved on before
// it comes.
func TestHorizon(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	st := redis.WithHorizon(redis.New(c), 2*time.Second)
	a, b := session(t, st, 10*time.Second), session(t, st, 10*time.Second)
	sem := backend.Op{Do: backend.Acquire, Class: backend.Semaphore, Mode: backend.Exclusive, Limit: 2, Owner: 1000, Name: "s"}
	held := []backend.Op{sem}
	for i := range 600 {
		held = append(held, mutexOp(uint64(i+1), fmt.Sprint("a", i)))
	}
	apply(t, a, held...)
	apply(t, b, mutexOp(1, "a0"))
	for range 60 {
		apply(t, a)
		apply(t, b)
		time.Sleep(100 * time.Millisecond)
	}
	for i, r := range apply(t, a, held...) {
		if r.State != backend.Granted {
			t.Fatalf("%s: state %d after three horizons", held[i].Name, r.State)
		}
	}
	if r := apply(t, b, mutexOp(1, "a0")); r[0].State != backend.Queued {
		t.Errorf("who waits: state %d", r[0].State)
	}
	if n := do(t, s, "ZCARD", "dlock:qm:a0"); n != "1" {
		t.Errorf("%s in the queue", n)
	}
	// A key that somebody takes away is a loss.
	do(t, s, "DEL", "dlock:m:a7")
	lost := make(chan backend.Event, 1)
	go func() {
		for {
			events, err := a.Recv(context.Background())
			if err != nil {
				return
			}
			for _, e := range events {
				if e.Kind == backend.EventLost {
					lost <- e
					return
				}
			}
		}
	}()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		apply(t, a)
		select {
		case e := <-lost:
			if e.Owner != 8 {
				t.Errorf("owner %d was lost, not 8: %v", e.Owner, e.Err)
			}
			return
		default:
		}
		if time.Since(began) > patience {
			t.Fatal("the loss is not told")
		}
	}
}

// TestDeathFreesAllAtOnce has one session wait for many locks of another that dies.
func TestDeathFreesAllAtOnce(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	a, b := session(t, redis.New(c), time.Second), session(t, redis.New(c), 30*time.Second)
	const names = 200
	var ops []backend.Op
	for i := range names {
		ops = append(ops, mutexOp(uint64(i+1), fmt.Sprint("a", i)))
	}
	apply(t, a, ops...)
	apply(t, b, ops...)
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	a.Close(dead)

	granted := make(chan int, names)
	go func() {
		for seen := make(map[uint64]bool); len(seen) < names; {
			events, err := b.Recv(context.Background())
			if err != nil {
				return
			}
			for _, e := range events {
				if e.Kind == backend.EventGranted && !seen[e.Owner] {
					seen[e.Owner] = true
					granted <- len(seen)
				}
			}
		}
	}()
	beats := 0 // since the first grant
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		apply(t, b)
		if len(granted) == names {
			break
		}
		if len(granted) > 0 {
			beats++
		}
		if beats > 5 || time.Since(began) > patience {
			t.Fatalf("%d of %d locks of a dead session were granted in %d heartbeats", len(granted), names, beats)
		}
	}
}

// TestSentinelSplitIsNoticed opens sessions on a master that would not stop by itself, and
// on one that does.
func TestSentinelSplitIsNoticed(t *testing.T) {
	t.Parallel()
	trio := redistest.NewTrio(t)
	st, err := backend.FromURL("redis+sentinel://" + trio.Sentinel.Addr() + "?master=" + redistest.MasterName)
	if err != nil {
		t.Fatal(err)
	}
	noticed(t, session(t, st, time.Minute), "min-replicas-to-write")
	do(t, trio.Master, "CONFIG", "SET", "min-replicas-to-write", "1")
	until(t, "the replica counts", func() bool {
		info, err := trio.Master.Info()
		return err == nil && info["min_slaves_good_slaves"] == "1"
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if events, err := session(t, st, time.Minute).Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	trio := redistest.NewTrio(t)
	url := "redis+sentinel://" + trio.Sentinel.Addr() + "?master=" + redistest.MasterName
	a, b := open(t, url, 10*time.Second), open(t, url, 10*time.Second)
	h := acquire(t, a.Mutex("a"))
	release(t, acquire(t, b.Mutex("b")))
	own := client.NewFailoverClient(&client.FailoverOptions{MasterName: redistest.MasterName, SentinelAddrs: []string{trio.Sentinel.Addr()}})
	defer own.Close()
	ses := session(t, redis.New(own), 10*time.Second)
	if r := apply(t, ses, mutexOp(1, "own")); r[0].State != backend.Granted {
		t.Errorf("by a client of one's own: state %d, %v", r[0].State, r[0].Err)
	}
	trio.Master.Kill()
	// Either the hold survives, or its holder is told before anybody else has it.
	other := make(chan *dlock.Hold, 1)
	go func() {
		h, err := b.Mutex("a").Acquire(context.Background())
		if err != nil {
			t.Error(err)
		}
		other <- h
	}()
	until(t, "the replica is the master", func() bool {
		info, err := trio.Replica.Info()
		return err == nil && info["role"] == "master"
	})
	until(t, "locks are to be had again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h, err := a.Mutex("c").Acquire(ctx)
		if err == nil {
			release(t, h)
		}
		return err == nil
	})
	until(t, "a session of one's own client is answered, or dead", func() bool {
		r, _, err := ses.Apply(patient(t), []backend.Op{mutexOp(2, "own too")})
		return err != nil || r[0].State == backend.Granted
	})
	select {
	case o := <-other:
		if h.Err() == nil {
			t.Error("two hold the lock")
		}
		release(t, o)
		return
	case <-time.After(500 * time.Millisecond):
	}
	if err := h.Release(patient(t)); err != nil && !errors.Is(err, dlock.ErrLost) {
		t.Error(err)
	}
	select {
	case o := <-other:
		release(t, o)
	case <-time.After(patience):
		t.Fatal("the lock is not free after the failover")
	}
}
