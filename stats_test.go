package dlock_test

import (
	"context"
	"expvar"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

func TestStats(t *testing.T) {
	faults := backendtest.Faulty(memory.New(), backendtest.Plan{})
	defer faults.Bury()
	c, err := dlock.New(faults, dlock.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	faults.FailNext(backendtest.FailOpen, 2)
	mu := c.Mutex("x")
	mu.Lock()
	handed := make(chan struct{})
	go func() { defer close(handed); mu.Lock() }()
	for c.Stats().Waiting == 0 {
		runtime.Gosched() // Until it waits.
	}
	if s := c.Stats(); s.Holds != 1 || s.Waiting != 1 || s.Queued != 0 || s.Acquired != 1 || s.Retries != 2 || s.Batches != 1 || s.Ops != 1 {
		t.Errorf("one holds and one waits: %+v", s)
	}
	mu.Unlock()
	<-handed
	faults.Lose("x")
	h, err := mu.Acquire(ctx) // Waits for the store, which learns of the loss by a release.
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	s := c.Stats()
	if s.Holds != 0 || s.Waiting != 0 || s.Acquired != 3 || s.HandedOn != 1 || s.Lost != 1 {
		t.Errorf("three held, one by hand-over, one lost: %+v", s)
	}
	var n uint64
	for _, count := range s.Wait.Counts {
		n += count
	}
	if n != 3 || s.Wait.Sum <= 0 || len(s.Wait.Counts) != len(s.Wait.Bounds)+1 {
		t.Errorf("histogram of waits: %+v", s.Wait)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

// The counters of a client, for whoever asks /debug/vars.
func ExampleClient_Stats() {
	locks := open()
	defer locks.Close(context.Background())
	expvar.Publish("dlock", expvar.Func(func() any { return locks.Stats() }))

	mu := locks.Mutex("x")
	mu.Lock()
	fmt.Println("held:", locks.Stats().Holds)
	mu.Unlock()
	// Output: held: 1
}

// The time that a client was idle for does not count as a wait.
func TestWaitAfterIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := dlock.New(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(t.Context())
		for range 3 {
			h, err := c.Mutex("x").Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Release(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
		}
		if s := c.Stats(); s.Acquired != 3 || s.Wait.Sum != 0 {
			t.Errorf("%d waited for %v", s.Acquired, s.Wait.Sum)
		}
	})
}
