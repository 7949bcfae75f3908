package dlocktest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

var semaphoreChecks = []check{
	{"semaphore/tickets are drained and given back", checkDrain},
	{"semaphore/never more than the limit, and the limit is reached", checkLimitReached},
	{"semaphore/another limit waits until nobody uses the old one", checkOtherLimit},
	{"semaphore/the greatest limit, 100 holders and a name of 1000 bytes", checkGreatestLimit},
}

func checkDrain(f *fixture) {
	const limit = 5
	clients := f.clients(3)
	var tickets []*dlock.Hold
	for i := range limit {
		h, err := clients[i%3].Semaphore(f.name("s"), limit).TryAcquire(f.patient())
		if err != nil {
			f.Fatalf("ticket %d of %d: %v", i+1, limit, err)
		}
		tickets = append(tickets, h)
	}
	for _, p := range clients {
		f.busy(p.Semaphore(f.name("s"), limit))
	}
	for i, h := range tickets {
		w := f.waiter(clients[(i+1)%3].Semaphore(f.name("s"), limit))
		w.waiting()
		f.release(h)
		tickets[i] = w.granted()
	}
	f.busy(clients[0].Semaphore(f.name("s"), limit))
	for _, h := range tickets {
		f.release(h)
	}
	for range limit {
		clients[0].Semaphore(f.name("s"), limit).Lock()
	}
	f.busy(clients[1].Semaphore(f.name("s"), limit))
}

func checkLimitReached(f *fixture) {
	const limit, workers, rounds = 3, 10, 25
	for name, size := range map[string]int{"one client": 1, "four clients": 4} {
		f.step(name, func(f *fixture) {
			clients := f.clients(size)
			var inside atomic.Int32
			var seen [limit + 1]atomic.Int32
			var all sync.WaitGroup
			patient := f.patient()
			for i := range workers {
				s := clients[i%size].Semaphore(f.name("s"), limit)
				all.Go(func() {
					for range rounds {
						s.Lock()
						if n := inside.Add(1); n > limit {
							f.Errorf("%d hold tickets, and the limit is %d", n, limit)
						} else {
							seen[n].Add(1)
						}
						// The first to come stay until the limit is reached.
						for seen[limit].Load() == 0 && patient.Err() == nil {
							time.Sleep(time.Millisecond)
						}
						time.Sleep(time.Millisecond)
						inside.Add(-1)
						s.Unlock()
					}
				})
			}
			f.wait(&all)
			for n := 1; n <= limit; n++ {
				if seen[n].Load() == 0 {
					f.Errorf("there were never %d holders", n)
				}
			}
		})
	}
}

// otherLimit fails the test unless whoever asks for a semaphore that is in use with
// another limit waits, and who does not wait is told.
func (f *fixture) otherLimit(p *client, s *dlock.Semaphore) {
	f.Helper()
	if s.TryLock() {
		f.Error("TryLock is true")
	}
	if ok, err := s.TryLockContext(f.patient()); ok || !errors.Is(err, dlock.ErrLimit) {
		f.Errorf("TryLockContext: %v, %v; want ErrLimit", ok, err)
	}
	if h, err := s.TryAcquire(f.patient()); h != nil || !errors.Is(err, dlock.ErrLimit) {
		f.Errorf("TryAcquire: %v, %v; want ErrLimit", h, err)
	}
	for _, way := range waysToWait {
		// A store that is slow at the moment needs more time to say so.
		for d := 100 * time.Millisecond; ; d *= 2 {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			err := way.wait(ctx, s)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) && errors.Is(err, dlock.ErrLimit) {
				break
			}
			if err == nil || d > 5*time.Second {
				f.Errorf("%s: %v; want the error of ctx, and ErrLimit", way.name, err)
				break
			}
		}
	}
	f.until("the log tells of the limit", func() bool { return strings.Contains(p.journal.String(), "limit") })
}

func checkOtherLimit(f *fixture) {
	for name, size := range map[string]int{"one client": 1, "two clients": 2} {
		f.step(name, func(f *fixture) {
			clients := f.clients(size)
			p, q := clients[0], clients[size-1]
			two, three := p.Semaphore(f.name("s"), 2), q.Semaphore(f.name("s"), 3)
			h := f.take(two)
			f.otherLimit(q, three)
			f.free(two) // What waited has taken nothing, and keeps no place.
			waits := f.waiter(three)
			locked := make(chan struct{})
			go func() {
				defer close(locked)
				q.Semaphore(f.name("s"), 3).Lock()
			}()
			waits.waiting()
			f.release(h)
			h = waits.granted()
			done(f, "Lock with another limit returns when the old one is out of use", locked)

			f.otherLimit(p, two)
			var w []*waiter
			for range 3 {
				w = append(w, f.waiter(three))
			}
			f.release(h)
			f.release(w[0].granted())
			f.release(w[1].granted())
			f.release(w[2].granted())
			f.otherLimit(p, two) // Lock has its ticket still.
		})
	}
	f.step("it does not disturb who agrees", func(f *fixture) {
		a, b := f.client(), f.client()
		h := f.take(a.Semaphore(f.name("s"), 1))
		w := f.waiter(b.Semaphore(f.name("s"), 1))
		b.queued(backend.Semaphore, "s", 1)
		f.otherLimit(b, b.Semaphore(f.name("s"), 7))
		w.waiting()
		f.release(h)
		f.release(w.granted())
	})
}

func checkGreatestLimit(f *fixture) {
	const limit = math.MaxInt32
	a, b := f.client(), f.client()
	name := f.name("")
	name += strings.Repeat("s", 1000-len(name))
	var tickets []*dlock.Hold
	for i := range 100 {
		h, err := []*client{a, b}[i%2].Semaphore(name, limit).TryAcquire(f.patient())
		if err != nil {
			f.Fatalf("ticket %d: %v", i+1, err)
		}
		tickets = append(tickets, h)
	}
	f.otherLimit(a, a.Semaphore(name, limit-1))
	for _, h := range tickets {
		if err := h.Err(); err != nil {
			f.Error(err)
		}
		f.release(h)
	}
	f.free(b.Semaphore(name, 1))
}
