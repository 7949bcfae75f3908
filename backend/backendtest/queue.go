package backendtest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var queueChecks = []check{
	{"queue/everybody who waits is granted once", checkAllServed},
	{"queue/sessions are served in the order of their arrival", checkFIFO},
	{"queue/repeated acquire of a waiter keeps its place", checkRepeatQueued},
	{"queue/four sessions that contend without a pause have their shares", checkShares},
	{"queue/a newcomer does not overtake", checkNoOvertaking},
	{"queue/dead waiters and holders do not stop it", checkDeadWaiters},
}

func checkAllServed(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		const n = 8
		turn := make(chan *claim, n)
		for range n {
			f.peer().acquireInto(turn, op)
		}
		seen := make(map[*claim]bool)
		for range n {
			c := f.next(turn)
			if seen[c] {
				f.Fatalf("%v was granted twice", c)
			}
			seen[c] = true
			c.holding()
			if len(turn) > 0 {
				f.Fatalf("%v was granted beside %v", <-turn, c)
			}
			c.release()
		}
	})
}

// line makes each of n peers wait for op, one after the other, behind a holder
// that stands first in the line.
func (f *fixture) line(n int, op backend.Op, turn chan *claim) []*claim {
	f.Helper()
	claims := []*claim{f.peer().take(op)}
	for range n {
		c := f.peer().acquireInto(turn, op)
		c.waiting()
		claims = append(claims, c)
	}
	return claims
}

func checkFIFO(f *fixture) {
	f.needs(f.Caps.Queue, "Queue")
	f.forLocks(func(f *fixture, op backend.Op) {
		const n = 6
		turn := make(chan *claim, n)
		claims := f.line(n, op, turn)
		for i, c := range claims[1:] {
			claims[i].release()
			if got := f.next(turn); got != c {
				f.Fatalf("%d. in the line: another was granted", i+1)
			}
		}
	})
}

func checkRepeatQueued(f *fixture) {
	f.needs(f.Caps.Queue, "Queue")
	f.forLocks(func(f *fixture, op backend.Op) {
		const n = 3
		turn := make(chan *claim, n)
		claims := f.line(n, op, turn)
		for _, c := range slices.Backward(claims[1:]) { // backwards, or new places would be in the old order
			c.waiting()
			c.waiting()
		}
		for i, c := range claims[1:] {
			claims[i].release()
			if got := f.next(turn); got != c {
				f.Fatalf("%d. in the line: another was granted", i+1)
			}
		}
		claims[n].release()
		f.peer().free(op) // nobody stands in the queue twice
	})
}

func checkNoOvertaking(f *fixture) {
	f.needs(f.Caps.Queue, "Queue")
	// The lock passes from waiter to waiter without being free in between, so a
	// try beside it never succeeds.
	f.forLocks(func(f *fixture, op backend.Op) {
		const n = 5
		turn := make(chan *claim, n)
		claims := f.line(n, op, turn)
		newcomer := f.peer()
		for i, c := range claims[1:] {
			claims[i].release()
			newcomer.busy(op)
			if got := f.next(turn); got != c {
				f.Fatalf("%d. in the line: another was granted", i+1)
			}
		}
	})
}

func checkDeadWaiters(f *fixture) {
	f.forLocks(func(f *fixture, op backend.Op) {
		const n = 9
		turn := make(chan *claim, n)
		claims := f.line(n, op, turn)
		alive := make(map[*claim]bool)
		for i, c := range claims[1:] {
			if i%3 == 1 {
				c.peer.crash()
			} else {
				alive[c] = true
			}
		}
		claims[0].peer.crash() // the holder, too
		order := claims[1:]
		for range len(alive) {
			c := f.next(turn)
			if !alive[c] {
				f.Fatalf("%v was granted, though it is dead or was granted before", c)
			}
			delete(alive, c)
			if f.Caps.Queue {
				for order[0] != c {
					if alive[order[0]] {
						f.Fatalf("who died in the queue changed the order of the others: %v was granted before %v", c, order[0])
					}
					order = order[1:]
				}
			}
			c.release()
		}
		f.peer().take(op) // nobody is left
	})
}

func checkShares(f *fixture) {
	const sessions, window = 4, 2 * time.Second
	var shares [sessions]atomic.Int64
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := range sessions {
		p := f.peer()
		all.Go(func() {
			if err := p.contend(mutex("a"), &shares[i], stop); err != nil {
				f.Error(err)
			}
		})
	}
	defer all.Wait()
	defer close(stop)
	// A machine may be busy with something else for a while.
	var seen []string
	for range 3 {
		var had, got [sessions]int64
		for i := range shares {
			had[i] = shares[i].Load()
		}
		time.Sleep(window)
		for i := range shares {
			got[i] = shares[i].Load() - had[i]
		}
		seen = append(seen, fmt.Sprint(got))
		if 2*slices.Min(got[:]) >= slices.Max(got[:]) && slices.Min(got[:]) > 0 {
			return
		}
	}
	f.Errorf("in %v each, the sessions were granted the lock so many times: %v; the least has to be half of the most", window, seen)
}

// contend acquires a lock and releases it, over and over.
func (p *peer) contend(op backend.Op, times *atomic.Int64, stop <-chan struct{}) error {
	for {
		c := p.claim(op, true, nil)
		if _, err := p.send(c.op); err != nil {
			return err
		}
		over := false
		select {
		case <-c.turn:
			times.Add(1)
		case <-stop:
			over = true
		case <-time.After(p.f.bound()):
			return fmt.Errorf("%v was not granted for %v", c, p.f.bound())
		}
		if _, err := p.send(c.released()); err != nil || over {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
