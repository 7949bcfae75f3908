package backendtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

var memoryCaps = backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Inspect: true}

// TestConformanceOfFaulty runs the suite over everything that may happen to an
// honest driver: the suite has to bear it, and the wrapper has to keep the
// contract while it makes it happen.
func TestConformanceOfFaulty(t *testing.T) {
	t.Parallel()
	plan := backendtest.Plan{
		Seed: backendtest.Rand(t).Uint64(),
		Rates: map[backendtest.Fault]float64{
			backendtest.UnknownBefore: 0.05, backendtest.UnknownAfter: 0.05,
			backendtest.DelayBefore: 0.02, backendtest.DelayAfter: 0.02,
			backendtest.DropEvents: 0.2, backendtest.DoubleEvents: 0.2,
		},
		Delay:  time.Millisecond,
		Repair: 2 * time.Millisecond,
		Lease:  3 * time.Second, // that a busy machine can renew
		Linger: 20 * time.Millisecond,
	}
	backendtest.Run(t, backendtest.Harness{
		New: func(t *testing.T) func() backend.Backend {
			st := memory.New()
			return func() backend.Backend {
				f := backendtest.Faulty(st, plan)
				t.Cleanup(f.Bury)
				return f
			}
		},
		Caps: memoryCaps,
		TTL:  plan.Lease,
	})
}

// A fixture is a session that fails on demand, and one beside it that does not.
type fixture struct {
	*testing.T
	faulty *backendtest.FaultyBackend
	s      backend.Session
	other  backend.Session
}

// faulty runs a test on fake time.
func faulty(t *testing.T, plan backendtest.Plan, run func(*fixture)) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		r := &fixture{T: t, faulty: backendtest.Faulty(st, plan)}
		r.s, r.other = r.open(r.faulty), r.open(st)
		run(r)
		r.s.Close(context.Background())
		r.other.Close(context.Background())
		r.faulty.Bury()
	})
}

func (r *fixture) open(b backend.Backend) backend.Session {
	r.Helper()
	s, err := b.Open(context.Background(), time.Second, backend.ClientInfo{})
	if err != nil {
		r.Fatal(err)
	}
	return s
}

func op(do backend.Do, owner uint64) backend.Op {
	return backend.Op{Do: do, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Wait: do == backend.Acquire, Owner: owner, Name: "a"}
}

// apply returns the state of the answer, or 0 when the session died.
func (r *fixture) apply(s backend.Session, do backend.Do, owner uint64) backend.State {
	r.Helper()
	results, _, err := s.Apply(context.Background(), []backend.Op{op(do, owner)})
	if err != nil {
		return 0
	}
	return results[0].State
}

func (r *fixture) want(got, want backend.State) {
	r.Helper()
	if got != want {
		r.Fatalf("state %d, want %d", got, want)
	}
}

func (r *fixture) recv(s backend.Session, want ...backend.EventKind) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var got []backend.EventKind
	for len(got) < len(want) {
		events, err := s.Recv(ctx)
		if err != nil {
			r.Fatalf("Recv: %v after %v, want %v", err, got, want)
		}
		for _, e := range events {
			got = append(got, e.Kind)
		}
	}
	for i := range want {
		if got[i] != want[i] {
			r.Fatalf("events %v, want %v", got, want)
		}
	}
}

func TestFaultyApply(t *testing.T) {
	for _, c := range []struct {
		fault   backendtest.Fault
		state   backend.State // of the answer; 0 when the session dies
		applied bool
	}{
		{backendtest.FailBefore, 0, false},
		{backendtest.FailAfter, 0, true},
		{backendtest.UnknownBefore, backend.Unknown, false},
		{backendtest.UnknownAfter, backend.Unknown, true},
		{backendtest.DelayBefore, backend.Granted, true},
		{backendtest.DelayAfter, backend.Granted, true},
	} {
		faulty(t, backendtest.Plan{Delay: time.Minute}, func(r *fixture) {
			r.faulty.FailNextOf(c.fault, 1, backendtest.Acquires)
			if _, _, err := r.s.Apply(context.Background(), nil); err != nil {
				r.Fatalf("fault %d struck what it was not meant for", c.fault)
			}
			started := time.Now()
			r.want(r.apply(r.s, backend.Acquire, 1), c.state)
			if delayed := time.Since(started) == time.Minute; delayed != (c.fault >= backendtest.DelayBefore) {
				r.Errorf("fault %d lasted %v", c.fault, time.Since(started))
			}
			if r.faulty.Fired(c.fault) != 1 {
				r.Errorf("fault %d fired %d times", c.fault, r.faulty.Fired(c.fault))
			}
			state := backend.Granted
			if c.applied {
				state = backend.Queued
			}
			r.want(r.apply(r.other, backend.Acquire, 1), state)
			if c.state == 0 {
				if _, err := r.s.Recv(context.Background()); !errors.Is(err, backendtest.ErrInjected) {
					r.Errorf("Recv of a dead session: %v", err)
				}
				r.want(r.apply(r.s, backend.Release, 1), 0)
			}
			if c.state == 0 && c.applied {
				r.s.Close(context.Background())
				r.want(r.apply(r.other, backend.Acquire, 1), backend.Queued)
				r.faulty.Bury()
				r.recv(r.other, backend.EventGranted)
			}
		})
	}
}

func TestFaultyDelayEndsWithCtx(t *testing.T) {
	for _, fault := range []backendtest.Fault{backendtest.DelayBefore, backendtest.DelayAfter} {
		faulty(t, backendtest.Plan{Delay: time.Minute}, func(r *fixture) {
			r.faulty.FailNext(fault, 1)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			results, _, err := r.s.Apply(ctx, []backend.Op{op(backend.Acquire, 1)})
			if err != nil || results[0].State != backend.Unknown {
				r.Fatalf("%v, %v; want Unknown", results, err)
			}
		})
	}
}

func TestFaultyOpen(t *testing.T) {
	faulty(t, backendtest.Plan{}, func(r *fixture) {
		r.faulty.FailNext(backendtest.FailOpen, 2)
		for range 2 {
			if _, err := r.faulty.Open(context.Background(), time.Second, backend.ClientInfo{}); !errors.Is(err, backendtest.ErrInjected) {
				r.Errorf("Open: %v", err)
			}
		}
		r.open(r.faulty).Close(context.Background())
	})
}

func TestFaultyEvents(t *testing.T) {
	for _, c := range []struct {
		fault backendtest.Fault
		want  []backend.EventKind
		after time.Duration
	}{
		{0, []backend.EventKind{backend.EventGranted}, 0},
		{backendtest.DoubleEvents, []backend.EventKind{backend.EventGranted, backend.EventGranted}, 0},
		{backendtest.DropEvents, []backend.EventKind{backend.EventTurn}, time.Second},
	} {
		faulty(t, backendtest.Plan{Repair: time.Second}, func(r *fixture) {
			r.want(r.apply(r.other, backend.Acquire, 1), backend.Granted)
			r.want(r.apply(r.s, backend.Acquire, 1), backend.Queued)
			r.faulty.FailNext(c.fault, 1)
			started := time.Now()
			r.want(r.apply(r.other, backend.Release, 1), backend.Released)
			r.recv(r.s, c.want...)
			if time.Since(started) != c.after {
				r.Errorf("fault %d: events after %v, want %v", c.fault, time.Since(started), c.after)
			}
			r.want(r.apply(r.s, backend.Acquire, 1), backend.Granted)
		})
	}
}

func TestFaultyRecv(t *testing.T) {
	faulty(t, backendtest.Plan{Linger: time.Second}, func(r *fixture) {
		r.want(r.apply(r.other, backend.Acquire, 1), backend.Granted)
		r.want(r.apply(r.s, backend.Acquire, 1), backend.Queued)
		r.faulty.FailNext(backendtest.FailRecv, 1)
		r.want(r.apply(r.other, backend.Release, 1), backend.Released)
		if _, err := r.s.Recv(context.Background()); !errors.Is(err, backendtest.ErrInjected) {
			r.Errorf("Recv: %v", err)
		}
		started := time.Now()
		r.want(r.apply(r.other, backend.Acquire, 2), backend.Queued)
		r.recv(r.other, backend.EventContended, backend.EventGranted)
		if time.Since(started) != time.Second {
			r.Errorf("the store kept the lock of a dead session for %v", time.Since(started))
		}
	})
}

func TestFaultyCutAndLose(t *testing.T) {
	faulty(t, backendtest.Plan{}, func(r *fixture) {
		r.want(r.apply(r.s, backend.Acquire, 1), backend.Granted)
		if n := r.faulty.Lose("another"); n != 0 {
			r.Errorf("%d holds of another name were lost", n)
		}
		if n := r.faulty.Lose("a"); n != 1 {
			r.Errorf("%d holds were lost", n)
		}
		r.recv(r.s, backend.EventLost)
		r.want(r.apply(r.other, backend.Acquire, 1), backend.Queued)
		r.want(r.apply(r.s, backend.Release, 1), backend.Released)
		r.recv(r.other, backend.EventGranted)
		r.faulty.Cut()
		r.want(r.apply(r.s, backend.Acquire, 2), 0)
		r.want(r.apply(r.other, backend.Acquire, 1), backend.Granted)
	})
}

func TestFaultyLease(t *testing.T) {
	plan := backendtest.Plan{Lease: time.Second, Linger: time.Millisecond}
	faulty(t, plan, func(r *fixture) {
		started := time.Now()
		r.want(r.apply(r.s, backend.Acquire, 1), backend.Granted)
		r.want(r.apply(r.other, backend.Acquire, 1), backend.Queued)
		for range 3 {
			time.Sleep(800 * time.Millisecond)
			_, leases, err := r.s.Apply(context.Background(), nil)
			if err != nil || len(leases) != 1 || time.Until(leases[0].Until) != plan.Lease {
				r.Fatalf("heartbeat: %v, %v", leases, err)
			}
		}
		r.recv(r.other, backend.EventGranted)
		if after := time.Since(started); after != 3*800*time.Millisecond+plan.Lease+plan.Linger {
			r.Errorf("the lease was over after %v", after)
		}
		r.want(r.apply(r.s, backend.Acquire, 1), 0)
	})
}

func TestFaultyHeal(t *testing.T) {
	rates := map[backendtest.Fault]float64{backendtest.FailBefore: 1}
	faulty(t, backendtest.Plan{Rates: rates}, func(r *fixture) {
		r.faulty.Heal()
		r.want(r.apply(r.s, backend.Acquire, 1), backend.Granted)
	})
}
