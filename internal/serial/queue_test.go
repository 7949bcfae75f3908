package serial

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		var got []int
		for i := range 100 {
			q.Go(func() {
				time.Sleep(time.Millisecond)
				got = append(got, i)
			})
		}
		if err := q.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(got) != 100 || !slices.IsSorted(got) {
			t.Errorf("they ran in the order %v", got)
		}
	})
}

// What is handed in by what runs has its turn too, and nobody who hands in waits.
func TestQueueWithinItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		var got []string
		q.Go(func() {
			q.Go(func() { got = append(got, "third") })
			got = append(got, "first")
		})
		q.Go(func() { got = append(got, "second") })
		if err := q.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"first", "second", "third"}; !slices.Equal(got, want) {
			t.Errorf("they ran in the order %v", got)
		}
	})
}

func TestQueueWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		stuck := make(chan struct{})
		q.Go(func() { <-stuck })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := q.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Wait returned %v after %v", err, time.Since(began))
		}
		close(stuck)
		if err := q.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A full queue drops what comes, and tells how much in the place where it was.
func TestQueueCountsWhatItDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		q := Queue{Bound: 2, Dropped: func(n int) { got = append(got, fmt.Sprint(n, " dropped")) }}
		step := make(chan struct{})
		in := func(name string) bool {
			return q.Go(func() {
				<-step
				got = append(got, name)
			})
		}
		var taken []bool
		taken = append(taken, in("a"))
		synctest.Wait() // It runs, and waits no longer.
		for _, name := range []string{"b", "c", "d", "e"} {
			taken = append(taken, in(name))
		}
		step <- struct{}{}
		synctest.Wait()
		taken = append(taken, in("f"), in("g"))
		close(step)
		if err := q.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"a", "b", "c", "2 dropped", "f", "1 dropped"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if want := []bool{true, true, true, false, false, true, false}; !slices.Equal(taken, want) {
			t.Errorf("taken: %v, want %v", taken, want)
		}
	})
}

// A queue without anything to run has no goroutine.
func TestQueueLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // A goroutine left behind is a failure.
		var q Queue
		for range 3 {
			q.Go(func() {})
			synctest.Wait()
			q.mu.Lock()
			if q.running || q.pending != nil {
				t.Error("an idle queue runs, or keeps what it ran")
			}
			q.mu.Unlock()
		}
	})
}

// A function that ends its goroutine does not end the queue.
func TestQueueSurvivesGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		ran := false
		q.Go(runtime.Goexit)
		q.Go(func() { ran = true })
		if err := q.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !ran {
			t.Error("the next one did not run")
		}
	})
}

func TestQueueUsedByMany(t *testing.T) {
	var q Queue
	var all sync.WaitGroup
	n := 0
	for range 8 {
		all.Go(func() {
			for range 1000 {
				q.Go(func() { n++ })
			}
			if err := q.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := q.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n != 8000 {
		t.Errorf("%d of 8000 ran", n)
	}
}
