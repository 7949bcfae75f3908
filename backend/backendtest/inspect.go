package backendtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var inspectChecks = []check{
	{"inspect/holders and waiters are told in order", checkInspect},
	{"inspect/waiting writers are told before waiting readers, each in their order", checkInspectOrder},
	{"inspect/readers and the holders of tickets are all told", checkInspectShared},
	{"inspect/who has died is not told for ever", checkInspectDead},
	{"inspect/it disturbs nobody", checkInspectDisturbs},
	{"inspect/the end of ctx ends it", checkInspectEnds},
}

// clientInfo is what the sessions of a fixture say of themselves: each has a reason of
// its own.
func (f *fixture) clientInfo() backend.ClientInfo {
	f.infos++
	return backend.ClientInfo{Host: "host.example", PID: 4000 + f.infos, Reason: fmt.Sprintf("für %d \"…\"", f.infos)}
}

// inspect asks who holds the lock of op and who waits for it, until that is what
// it has to be: the store may take a moment to know.
func (f *fixture) inspect(b backend.Backend, op backend.Op, holders, waiters []*claim) {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), f.bound())
	defer cancel()
	var wrong error
	for {
		h, w, err := b.Inspect(ctx, op.Class, op.Name)
		if err != nil {
			f.Fatalf("inspect: %v (%v)", err, wrong)
		}
		wrong = told("holders", h, holders, f.Vague)
		if wrong == nil {
			wrong = told("waiters", w, waiters, f.Vague)
		}
		if wrong == nil {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			f.Fatal(wrong)
		}
	}
}

// told returns how standings differ from claims. Of a vague store each session is
// to stand there, those that wait in order, and what it says of ordinals and times
// is to be zero or right.
func told(what string, standings []backend.Participant, claims []*claim, vague bool) error {
	var got, want []string
	for _, s := range standings {
		if vague && s.Since.IsZero() {
			s.Since = time.Now()
		}
		if s.Since.IsZero() || time.Since(s.Since).Abs() > time.Hour {
			return fmt.Errorf("inspect: one of the %s is there since %v", what, s.Since)
		}
		got = append(got, fmt.Sprint(s.ClientInfo, s.Mode, s.Ordinal))
	}
	for _, c := range claims {
		ordinal := c.terms().Ordinal
		if vague && slices.ContainsFunc(standings, func(s backend.Participant) bool { return s.ClientInfo == c.peer.who && s.Ordinal == 0 }) {
			ordinal = 0
		}
		want = append(want, fmt.Sprint(c.peer.who, c.op.Mode, ordinal))
	}
	if vague && what == "holders" {
		slices.Sort(got)
		slices.Sort(want)
		got, want = slices.Compact(got), slices.Compact(want)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("inspect: the %s are %v, want %v", what, got, want)
	}
	return nil
}

func checkInspect(f *fixture) {
	f.needs(f.Caps.Inspect, "Inspect")
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b, c := f.peer(), f.peer(), f.peer()
		store := f.open()
		f.inspect(store, op, nil, nil)
		first := a.take(op)
		f.inspect(store, op, []*claim{first}, nil)
		if !f.Caps.Queue {
			return // nobody waits at such a store
		}
		second := b.acquire(op)
		third := c.acquire(op)
		f.inspect(store, op, []*claim{first}, []*claim{second, third})
		other := op
		other.Name += "'"
		f.inspect(store, other, nil, nil)
		first.release()
		second.wait()
		f.inspect(store, op, []*claim{second}, []*claim{third})
		second.release()
		third.wait()
		third.release()
		f.inspect(store, op, nil, nil)
	})
}

func checkInspectOrder(f *fixture) {
	f.needs(f.Caps.Inspect, "Inspect")
	f.needs(f.Caps.Queue, "Queue")
	a := f.peer()
	held := a.take(writer("a"))
	var waiting []*claim
	for _, op := range []backend.Op{reader("a"), writer("a"), reader("a"), writer("a")} {
		waiting = append(waiting, f.peer().acquire(op))
	}
	f.inspect(f.open(), writer("a"), []*claim{held}, []*claim{waiting[1], waiting[3], waiting[0], waiting[2]})
}

func checkInspectShared(f *fixture) {
	f.needs(f.Caps.Inspect, "Inspect")
	f.steps([]backend.Op{reader("a"), ticket("a", 3)}, func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := []*claim{a.take(op), b.take(op), a.take(op)}
		f.inspect(f.open(), op, held, nil)
		held[1].release()
		f.inspect(f.open(), op, []*claim{held[0], held[2]}, nil)
	})
}

func checkInspectDead(f *fixture) {
	f.needs(f.Caps.Inspect, "Inspect")
	f.forLocks(func(f *fixture, op backend.Op) {
		a, b := f.peer(), f.peer()
		held := a.take(op)
		b.acquire(op)
		b.crash()
		f.inspect(f.open(), op, []*claim{held}, nil)
		a.crash()
		f.inspect(f.open(), op, nil, nil)
	})
}

func checkInspectDisturbs(f *fixture) {
	f.needs(f.Caps.Inspect, "Inspect")
	f.forLocks(func(f *fixture, op backend.Op) {
		a := f.peer()
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan error, 1)
		store := f.open()
		go func() {
			for ctx.Err() == nil {
				if _, _, err := store.Inspect(ctx, op.Class, op.Name); err != nil && ctx.Err() == nil {
					over <- err
					return
				}
			}
			over <- nil
		}()
		for range 100 {
			a.free(op)
		}
		cancel()
		if err := <-over; err != nil {
			f.Errorf("inspect: %v", err)
		}
	})
}

func checkInspectEnds(f *fixture) {
	f.needs(f.Caps.Inspect, "Inspect")
	f.peer().take(mutex("a"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	_, _, _ = f.open().Inspect(ctx, backend.Mutex, "a")
	if d := time.Since(began); d > f.Patience {
		f.Errorf("inspect took %v after its ctx had ended", d)
	}
}
