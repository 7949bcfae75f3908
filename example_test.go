package dlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/dlock-go/dlock"
	_ "github.com/dlock-go/dlock/backend/memory"
)

func Example() {
	ctx := context.Background()
	locks, err := dlock.Open(ctx, "memory:") // Or file:///var/lock/app.
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close(ctx)

	mu := locks.Mutex("invoices/2026-11")
	mu.Lock()
	defer mu.Unlock()
	fmt.Println("one at a time")
	// Output: one at a time
}

// open returns a client for the other examples.
func open(opts ...dlock.Option) *dlock.Client {
	locks, err := dlock.Open(context.Background(), "memory:", opts...)
	if err != nil {
		log.Fatal(err)
	}
	return locks
}

// Do gives a function a context that ends when the lock is lost.
func ExampleMutex_do() {
	locks := open()
	defer locks.Close(context.Background())

	err := locks.Mutex("report").Do(context.Background(), func(ctx context.Context) error {
		fmt.Println("writing the report", ctx.Err())
		return nil
	})
	fmt.Println(err)
	// Output:
	// writing the report <nil>
	// <nil>
}

// A Hold has a fencing token, by which a resource refuses a holder whose time is
// over.
func ExampleMutex_acquire() {
	locks := open()
	defer locks.Close(context.Background())
	mu := locks.Mutex("register")

	var greatest uint64
	write := func(h *dlock.Hold) {
		token, _ := h.Token()
		if token < greatest {
			fmt.Println("refused: the lock has passed on")
			return
		}
		greatest = token
		fmt.Println("written")
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	first, err := mu.Acquire(ctx)
	if err != nil {
		log.Fatal(err)
	}
	write(first)
	if err := first.Release(ctx); err != nil {
		log.Fatal(err)
	}

	second, err := mu.Acquire(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer second.Release(ctx)
	write(second)
	write(first) // Late, as if it had been stopped in between.
	fmt.Println(errors.Is(first.Err(), dlock.ErrReleased))
	// Output:
	// written
	// written
	// refused: the lock has passed on
	// true
}

// Readers hold the lock together.
func ExampleRWMutex() {
	locks := open()
	defer locks.Close(context.Background())
	rw := locks.RWMutex("settings")

	rw.RLock()
	rw.RLock()
	fmt.Println("a writer gets in beside readers:", rw.TryLock())
	rw.RUnlock()
	rw.RUnlock()
	fmt.Println("and after them:", rw.TryLock())
	rw.Unlock()
	// Output:
	// a writer gets in beside readers: false
	// and after them: true
}

// At most three workers at a time, on however many machines.
func ExampleSemaphore() {
	locks := open()
	defer locks.Close(context.Background())
	workers := locks.Semaphore("workers", 3)

	var done sync.WaitGroup
	for range 10 {
		done.Go(func() {
			workers.Lock()
			defer workers.Unlock()
		})
	}
	done.Wait()
	fmt.Println("all done")
	// Output: all done
}

// Who holds a lock, and why, is there for all to see.
func ExampleClient_Inspect() {
	ctx := context.Background()
	locks := open(dlock.WithReason("nightly export"))
	defer locks.Close(ctx)
	mu := locks.Mutex("table/orders")
	mu.Lock()
	defer mu.Unlock()

	found, err := locks.Inspect(ctx, "table/orders")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range found.Holders {
		fmt.Println(p.Class, "held for the", p.Reason, "by us:", p.PID == os.Getpid())
	}
	// Output: mutex held for the nightly export by us: true
}

// Users of Lock hear of a loss by a handler.
func ExampleWithLossHandler() {
	locks := open(dlock.WithLossHandler(func(l dlock.Loss) {
		log.Printf("%s %q is lost: %v", l.Class, l.Name, l.Err)
		os.Exit(1) // What this process does under the lock must not go on.
	}))
	defer locks.Close(context.Background())

	mu := locks.Mutex("leader")
	mu.Lock()
	defer mu.Unlock()
	fmt.Println("leading")
	// Output: leading
}

// Several locks are taken as one, in an order that cannot deadlock.
func ExampleAll() {
	locks := open()
	defer locks.Close(context.Background())

	both := dlock.All(locks.Mutex("account/1"), locks.Mutex("account/2"))
	both.Lock()
	fmt.Println("the second is free:", locks.Mutex("account/2").TryLock())
	both.Unlock()
	// Output: the second is free: false
}

// Code that depends on a Provider is tested with a client in memory.
func ExampleProvider() {
	rename := func(locks dlock.Provider) {
		mu := locks.Mutex("name")
		mu.Lock()
		defer mu.Unlock()
		fmt.Println("renamed")
	}
	locks := open()
	defer locks.Close(context.Background())
	rename(locks)
	// Output: renamed
}
