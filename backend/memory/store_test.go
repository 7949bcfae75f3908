package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// TestNothingRemains does random things, and expects the store to be empty once
// nobody holds or waits.
func TestNothingRemains(t *testing.T) {
	st := New()
	var sessions []backend.Session
	for range 3 {
		s, err := st.Open(t.Context(), time.Second, backend.ClientInfo{})
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var owner uint64
	for range 2000 {
		owner++
		op := backend.Op{Do: backend.Acquire, Mode: backend.Exclusive, Wait: true, Owner: owner, Limit: 1}
		op.Class = backend.Class(1 + random.UintN(3))
		if op.Class == backend.Semaphore {
			op.Limit = 2
		}
		op.Name = fmt.Sprint(random.UintN(50))
		if op.Class == backend.RWMutex && random.UintN(2) == 0 {
			op.Mode = backend.Shared
		}
		s := sessions[random.IntN(len(sessions))]
		if _, _, err := s.Apply(t.Context(), []backend.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	// One session gives back one by one, the others by closing.
	for owner := range owner {
		op := backend.Op{Do: backend.Release, Owner: owner + 1}
		if _, _, err := sessions[0].Apply(t.Context(), []backend.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(sessions[0].(*session).claims); n != 0 {
		t.Errorf("%d claims of the session remain", n)
	}
	for _, s := range sessions {
		s.Close(context.Background())
	}
	for class, locks := range st.locks {
		if len(locks) != 0 {
			t.Errorf("%d locks of class %d remain", len(locks), class)
		}
	}
	if len(st.spareLocks) > maxSpare || len(st.spareClaims) > maxSpare {
		t.Errorf("%d locks and %d claims are kept for later", len(st.spareLocks), len(st.spareClaims))
	}
	for _, l := range st.spareLocks {
		if l.name != "" {
			t.Errorf("the name %q is kept", l.name)
		}
	}
}

// TestContendedOncePending expects one event for many that begin to wait, and
// another for those who come after it was received.
func TestContendedOncePending(t *testing.T) {
	st := New()
	holder, _ := st.Open(t.Context(), time.Second, backend.ClientInfo{})
	waiter, _ := st.Open(t.Context(), time.Second, backend.ClientInfo{})
	op := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Wait: true, Owner: 1, Name: "a"}
	holder.Apply(t.Context(), []backend.Op{op})
	for range 2 {
		for range 10 {
			op.Owner++
			waiter.Apply(t.Context(), []backend.Op{op})
		}
		events, err := holder.Recv(t.Context())
		if err != nil || len(events) != 1 || events[0].Kind != backend.EventContended {
			t.Errorf("events %v, %v; want one that it is contended", events, err)
		}
	}
}

func TestBadOps(t *testing.T) {
	good := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Wait: true, Owner: 1, Limit: 1, Name: "a"}
	for what, bend := range map[string]func(*backend.Op){
		"do":                func(op *backend.Op) { op.Do = 0 },
		"class":             func(op *backend.Op) { op.Class = 0 },
		"later class":       func(op *backend.Op) { op.Class = 9 },
		"mode":              func(op *backend.Op) { op.Mode = 0 },
		"reader of a mutex": func(op *backend.Op) { op.Mode = backend.Shared },
		"owner":             func(op *backend.Op) { op.Owner = 0 },
		"name":              func(op *backend.Op) { op.Name = "" },
		"size":              func(op *backend.Op) { op.Class, op.Limit = backend.Semaphore, 0 },
		"size of a mutex":   func(op *backend.Op) { op.Limit = 2 },
	} {
		st := New()
		s, _ := st.Open(t.Context(), time.Second, backend.ClientInfo{})
		op := good
		bend(&op)
		results, _, err := s.Apply(t.Context(), []backend.Op{op, good})
		if err != nil || results[0].State != backend.Failed || results[0].Err == nil {
			t.Errorf("bad %s: %v, %v", what, results, err)
		} else if results[1].State != backend.Granted {
			t.Errorf("bad %s: the good op got state %d", what, results[1].State)
		}
		// An owner stands for one acquisition.
		for _, name := range []string{"b", ""} {
			op = good
			op.Name = name
			results, _, _ = s.Apply(t.Context(), []backend.Op{op})
			if r := results[0]; r.State != backend.Failed || !errors.Is(r.Err, backend.ErrOwner) {
				t.Errorf("an owner acquires another lock: %+v", r)
			}
		}
	}
}

func TestURL(t *testing.T) {
	open := func(url string) backend.Backend {
		b, err := backend.FromURL(url)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if open("memory:") != open("memory:") || open("memory:a") != open("MEMORY://a") {
		t.Error("one URL is two stores")
	}
	if open("memory:") == open("memory:a") || open("memory:a") == open("memory:b") {
		t.Error("two URLs are one store")
	}
	if got := open("memory://a").String(); got != "memory:a" {
		t.Errorf("String is %q", got)
	}
	for _, bad := range []string{"memory:a/b", "memory:///a", "memory:a?b=c", "memory:a#b"} {
		if b, err := backend.FromURL(bad); err == nil {
			t.Errorf("%s is %v", bad, b)
		}
	}
}
