//lint:file-ignore SA2001 That it can be locked at all is what is tested.

package dlock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
)

// refusing returns a store that refuses all locks for a reason.
func refusing(why error) *bent {
	return &bent{Backend: memory.New(), refuse: func(op backend.Op) error {
		if op.Do == backend.Acquire {
			return why
		}
		return nil
	}}
}

func loggingClient(t *testing.T, b backend.Backend, opts ...dlock.Option) (*dlock.Client, *logbook) {
	t.Helper()
	book := new(logbook)
	c, err := dlock.New(b, append(opts, dlock.WithLogger(slog.New(book)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c, book
}

// panicking returns what a call panics with, or nil.
func panicking(call func()) (v any) {
	defer func() { v = recover() }()
	call()
	return nil
}

// Lock goes on although the store refuses, and says so ever more seldom. Everybody
// else hears of it at once.
func TestRefusal(t *testing.T) {
	denied := fmt.Errorf("no right to do that: %w", backend.ErrDenied)
	synctest.Test(t, func(t *testing.T) {
		store := refusing(denied)
		var healed atomic.Bool
		refuse := store.refuse
		store.refuse = func(op backend.Op) error {
			if healed.Load() {
				return nil
			}
			return refuse(op)
		}
		c, book := loggingClient(t, store)
		mu, ctx := c.Mutex("x"), t.Context()
		began := time.Now()
		_, err := mu.Acquire(ctx)
		_, tried := mu.TryAcquire(ctx)
		_, errTry := mu.TryLockContext(ctx)
		for way, err := range map[string]error{
			"LockContext": mu.LockContext(ctx), "Acquire": err, "TryAcquire": tried, "TryLockContext": errTry,
			"Do":        mu.Do(ctx, func(context.Context) error { t.Error("f is called"); return nil }),
			"Composite": dlock.All(mu, c.Mutex("y")).LockContext(ctx),
		} {
			if !errors.Is(err, backend.ErrDenied) || strings.Count(err.Error(), "dlock: ") > 2 {
				t.Errorf("%s returned %v", way, err)
			}
		}
		if mu.TryLock() {
			t.Error("TryLock of a store that refuses")
		}
		if !time.Now().Equal(began) {
			t.Errorf("they took %v", time.Since(began))
		}

		go func() {
			time.Sleep(5 * time.Minute)
			healed.Store(true)
		}()
		asked := store.asked.Load()
		mu.Lock()
		if took := time.Since(began); took < 5*time.Minute || took > 5*time.Minute+time.Second {
			t.Errorf("Lock returned after %v", took)
		}
		if n := store.asked.Load() - asked; n < 300 || n > 700 {
			t.Errorf("it asked %d times in five minutes", n)
		}
		mu.Unlock()
		synctest.Wait()
		// At once, and after 1, 3, 7, 15, 31, 63, 123, 183 and 243 seconds, about.
		if n := book.count("ERROR dlock: lock failed", "class=mutex", "name=x", "no right", "attempts=", "retry_in="); n < 9 || n > 10 {
			t.Errorf("%d lines in five minutes:\n%s", n, book)
		}
	})
}

// What no retry can cure is a panic at once.
func TestLockPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		for _, why := range []error{backend.ErrName, backend.ErrUnsupported} {
			c, _ := loggingClient(t, refusing(why))
			for _, l := range []interface{ Lock() }{c.Mutex("x"), c.RWMutex("x"), dlock.All(c.Mutex("x"), c.Mutex("y"))} {
				if err, ok := panicking(l.Lock).(error); !ok || !errors.Is(err, why) {
					t.Errorf("Lock does not panic with %v", why)
				}
			}
		}
		c, _ := loggingClient(t, memory.New())
		limits := []int{0, -1}
		if math.MaxInt > math.MaxInt32 {
			limits = append(limits, math.MaxInt)
		}
		for _, limit := range limits {
			s := c.Semaphore("x", limit)
			for _, call := range []func(){s.Lock, func() { s.TryLock() }, dlock.All(s).Lock} {
				if err, ok := panicking(call).(error); !ok || !errors.Is(err, dlock.ErrLimit) {
					t.Errorf("no panic for a limit of %d", limit)
				}
			}
			if err := s.LockContext(t.Context()); !errors.Is(err, dlock.ErrLimit) {
				t.Errorf("LockContext with a limit of %d: %v", limit, err)
			}
		}
		if !time.Now().Equal(began) {
			t.Errorf("they took %v", time.Since(began))
		}
	})
}

// A grant that is over before it is here is asked for again, but not without a pause
// and not beyond the end of ctx.
func TestGrantsThatAreLostAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &bent{Backend: memory.New(), answer: func(_ backend.Op, r *backend.Result) {
			if r.State == backend.Granted {
				r.Grant.Lease = backend.Lease{ID: 7, Until: time.Now()}
			}
		}}
		c, book := loggingClient(t, store)
		mu := c.Mutex("x")
		for name, call := range map[string]func(context.Context) error{
			"LockContext": mu.LockContext,
			"Composite":   dlock.All(mu, c.Mutex("y")).LockContext,
		} {
			before := store.asked.Load()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, dlock.ErrLost) || time.Since(began) != 2*time.Second {
				t.Errorf("%s returned %v after %v", name, err, time.Since(began))
			}
			if n := store.asked.Load() - before; n < 3 || n > 30 {
				t.Errorf("%s asked %d times in 2 s", name, n)
			}
		}
		synctest.Wait()
		if n := book.count("WARN dlock: lock lost as soon as it was granted"); n < 1 || n > 4 {
			t.Errorf("%d lines:\n%s", n, book)
		}
		// A try is over soon.
		began := time.Now()
		if _, err := mu.TryLockContext(t.Context()); !errors.Is(err, dlock.ErrLost) || !time.Now().Equal(began) {
			t.Errorf("TryLockContext returned %v after %v", err, time.Since(began))
		}
		if mu.TryLock() {
			t.Error("TryLock is true for a lock that is lost")
		}
	})
}

// Whoever comes with another limit waits until nobody uses the old one.
func TestOtherLimitIsWaitedFor(t *testing.T) {
	for _, clients := range []int{1, 2} {
		t.Run(fmt.Sprint(clients, " clients"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				old, book := loggingClient(t, store)
				next := old
				if clients == 2 {
					next, book = loggingClient(t, store)
				}
				three, four := old.Semaphore("s", 3), next.Semaphore("s", 4)
				ways := map[string]func(context.Context) error{
					"Lock":        func(context.Context) error { four.Lock(); four.Unlock(); return nil },
					"LockContext": func(ctx context.Context) error { err := four.LockContext(ctx); four.Unlock(); return err },
					"Acquire": func(ctx context.Context) error {
						h, err := four.Acquire(ctx)
						if err != nil {
							return err
						}
						return h.Release(ctx)
					},
					"Do": func(ctx context.Context) error {
						return four.Do(ctx, func(context.Context) error { return nil })
					},
					"Composite": func(ctx context.Context) error {
						return dlock.All(next.Mutex("m"), four).Do(ctx, func(context.Context) error { return nil })
					},
				}
				for name, way := range ways {
					h := acquire(t, three)
					got := make(chan error, 1)
					go func() { got <- way(t.Context()) }()
					time.Sleep(10 * time.Minute)
					select {
					case err := <-got:
						t.Fatalf("%s did not wait: %v", name, err)
					default:
					}
					// Who agrees is not disturbed.
					again := acquire(t, three)
					if err := errors.Join(h.Release(t.Context()), again.Release(t.Context())); err != nil {
						t.Fatal(err)
					}
					free := time.Now()
					if err := <-got; err != nil || time.Since(free) > time.Second {
						t.Errorf("%s got %v, %v after the old limit was free", name, err, time.Since(free))
					}
				}
				synctest.Wait()
				// At once, and after 1, 3, 7, 15, 31 seconds, and then each minute.
				if n := book.count("WARN dlock: semaphore in use with another limit", "class=semaphore", "name=s", "attempts="); n < 12*len(ways) || n > 16*len(ways) {
					t.Errorf("%d lines for %d times ten minutes", n, len(ways))
				}

				h := acquire(t, three)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				_, err := four.Acquire(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, dlock.ErrLimit) || time.Since(began) != 5*time.Second || strings.Count(err.Error(), "dlock: ") != 1 {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				began = time.Now()
				if four.TryLock() {
					t.Error("TryLock with another limit")
				}
				if _, err := four.TryAcquire(t.Context()); !errors.Is(err, dlock.ErrLimit) {
					t.Errorf("TryAcquire: %v", err)
				}
				if _, err := four.TryLockContext(t.Context()); !errors.Is(err, dlock.ErrLimit) {
					t.Errorf("TryLockContext: %v", err)
				}
				if !time.Now().Equal(began) {
					t.Errorf("tries took %v", time.Since(began))
				}
				synctest.Wait()
				if n := book.count("WARN dlock: try failed", "another limit"); n != 1 {
					t.Errorf("%d lines of a TryLock", n)
				}
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A context that ends for a reason of its own says so.
func TestCauseOfAnEndedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := loggingClient(t, memory.New())
		h := acquire(t, c.Semaphore("s", 3))
		why := errors.New("the request is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { cancel(why) })
		err := c.Semaphore("s", 4).LockContext(ctx)
		for _, want := range []error{context.Canceled, why, dlock.ErrLimit} {
			if !errors.Is(err, want) {
				t.Errorf("%v does not match %v", err, want)
			}
		}
		_ = h.Release(t.Context())
	})
}

// Close ends a call that waits between two attempts.
func TestCloseBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		c, _ := loggingClient(t, refusing(errors.New("no")))
		d, _ := loggingClient(t, store)
		h := acquire(t, d.Semaphore("s", 3))
		got := make(chan error, 2)
		go func() {
			err, _ := panicking(c.Mutex("x").Lock).(error)
			got <- err
		}()
		go func() { got <- d.Semaphore("s", 4).LockContext(context.Background()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		began := time.Now()
		for _, c := range []*dlock.Client{c, d} {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-got; !errors.Is(err, dlock.ErrClosed) || !time.Now().Equal(began) {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		}
		_ = h.Release(t.Context())
	})
}

// Long names are cut between characters, and left as they are for the log.
func TestNamesInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, book := loggingClient(t, refusing(errors.New("no")))
		long := strings.Repeat("x", 79) + "é" + strings.Repeat("y", 20)
		for _, name := range []string{"a \"b\"", long} {
			go func() { _ = panicking(c.Mutex(name).Lock) }()
			synctest.Wait()
		}
		_ = c.Close(t.Context())
		for _, want := range []string{` name=a "b" `, " name=" + strings.Repeat("x", 79) + "… "} {
			if book.count("ERROR", want) == 0 {
				t.Errorf("no line has %q:\n%s", want, book)
			}
		}
		if err := c.Mutex(long).LockContext(t.Context()); !strings.Contains(err.Error(), ` "`+strings.Repeat("x", 79)+`"… `) {
			t.Errorf("an error cuts a name in the middle of a character: %v", err)
		}
	})
}

// The panic of an Unlock tells what the value has to do with it.
func TestUnlockOfAnotherValue(t *testing.T) {
	c, _ := loggingClient(t, memory.New())
	c.Mutex("x").Lock()
	for _, unlock := range []func(){c.Mutex("x").Unlock, dlock.All(c.Mutex("x")).Unlock} {
		if text := fmt.Sprint(panicking(unlock)); !strings.Contains(text, "not locked by this value") {
			t.Errorf("it panics with %q", text)
		}
	}
}
