package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
)

// TestQuorumFullMemory fills the memory of all nodes and cuts their connections. What is
// held stays so for longer than the time to live, and what is released is free: more
// locks than there is room for in one batch.
func TestQuorumFullMemory(t *testing.T) {
	t.Parallel()
	const ttl, locks = 6 * time.Second, 700
	d := deployment{servers: startNodes(t, 3)}
	st := d.store(t, client.UniversalOptions{})
	s := watch(t, session(t, st, ttl))
	var ops []backend.Op
	for i := range locks {
		ops = append(ops, mutexOp(uint64(i+1), fmt.Sprint("n", i)))
	}
	ops[0] = kinds(1, "n")["write lock"]
	grantedAll(t, s, ops)
	everywhere(t, d.servers, locks, s)
	reader := session(t, st, ttl) // Who releases the write lock counts that it has passed the reader.
	read := kinds(1, "n")["read lock"]
	if got := state(t, reader, read); got != backend.Queued {
		t.Fatalf("state %d, want Queued", got)
	}

	d.each(t, "CONFIG", "SET", "maxmemory", "1")
	d.each(t, "CLIENT", "KILL", "TYPE", "normal")
	for began := time.Now(); time.Since(began) < ttl+ttl/2; time.Sleep(ttl / 10) {
		leases(t, reader)
		for _, l := range leases(t, s) {
			if l.Err != nil && strings.Contains(l.Err.Error(), "OOM") {
				t.Errorf("a heartbeat: %v", l.Err)
			}
		}
	}
	if lost := s.lostOf(); len(lost) > 0 {
		t.Fatalf("lost: %v", lost)
	}
	if r := apply(t, s, mutexOp(locks+1, "new"))[0]; r.State != backend.Refused {
		t.Errorf("a new lock: state %d, %v; want Refused", r.State, r.Err)
	}
	releases := append([]backend.Op(nil), ops...)
	for i := range releases {
		releases[i] = released(ops[i])
	}
	until(t, "all are released", func() bool {
		done := true
		for i, r := range apply(t, s, releases...) {
			switch r.State {
			case backend.Released:
			case backend.Unknown:
				done = false
			default:
				t.Fatalf("%s: state %d, %v; want Released", ops[i].Name, r.State, r.Err)
			}
		}
		return done
	})
	everywhere(t, d.servers, 0)
	if err := s.Close(patient(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	d.each(t, "CONFIG", "SET", "maxmemory", "0")
	granted(t, reader, read)
}

// TestQuorumWaiterIsRefused fills the memory of the nodes while somebody waits, who has to
// hear that he does not stand in the queue any more.
func TestQuorumWaiterIsRefused(t *testing.T) {
	t.Parallel()
	d := deployment{servers: startNodes(t, 3)}
	st := d.store(t, client.UniversalOptions{})
	a, b := session(t, st, 20*time.Second), watch(t, session(t, st, 20*time.Second))
	op := mutexOp(1, "n")
	granted(t, a, op)
	if got := state(t, b, op); got != backend.Queued {
		t.Fatalf("state %d, want Queued", got)
	}
	d.each(t, "CONFIG", "SET", "maxmemory", "1")
	until(t, "who waits is told to ask again", func() bool {
		leases(t, b)
		select {
		case e := <-b.events:
			return e.Kind == backend.EventTurn
		default:
			return false
		}
	})
	if r := apply(t, b, op)[0]; r.State != backend.Refused {
		t.Errorf("state %d, %v; want Refused", r.State, r.Err)
	}
	d.each(t, "CONFIG", "SET", "maxmemory", "0")
	until(t, "queued again", func() bool { return state(t, b, op) == backend.Queued })
}
