package backendtest

import (
	"errors"
	"math"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

var semaphoreChecks = []check{
	{"semaphore/the limit is reached and not exceeded", checkLimit},
	{"semaphore/a released ticket goes to who waits", checkTicketPasses},
	{"semaphore/a large limit, many tickets, a long name", checkLargeLimit},
	{"semaphore/another limit fails while it is in use", checkOtherLimit},
}

func checkLimit(f *fixture) {
	const limit = 5
	a, b := f.peer(), f.peer()
	op := ticket("s", limit)
	for range 3 {
		var claims []*claim
		for i := range limit {
			c := []*peer{a, b}[i%2].try(op)
			if c == nil {
				f.Fatalf("busy with %d of %d tickets taken", i, limit)
			}
			claims = append(claims, c)
		}
		a.busy(op)
		b.busy(op)
		for _, c := range claims {
			c.holding()
			c.release()
		}
	}
}

func checkTicketPasses(f *fixture) {
	const limit = 3
	a, b := f.peer(), f.peer()
	op := ticket("s", limit)
	var held, waiting []*claim
	for range limit {
		held = append(held, a.take(op))
	}
	turn := make(chan *claim, limit)
	for range limit {
		waiting = append(waiting, b.acquireInto(turn, op))
	}
	for i, c := range held {
		for _, w := range waiting[i:] {
			w.waiting()
		}
		c.release()
		if got := f.next(turn); got != waiting[i] && f.Caps.Queue {
			f.Fatalf("%v was granted out of turn", got)
		} else if got != waiting[i] {
			// Without a queue any of them may be next.
			for j, w := range waiting {
				if w == got {
					waiting[i], waiting[j] = waiting[j], waiting[i]
				}
			}
		}
		a.busy(op)
	}
}

func checkLargeLimit(f *fixture) {
	const tickets = 100
	a, b := f.peer(), f.peer()
	op := ticket(strings.Repeat("n", 1000), math.MaxInt32)
	var claims []*claim
	for i := range tickets {
		c := []*peer{a, b}[i%2].try(op)
		if c == nil {
			f.Fatalf("busy with %d tickets taken", i)
		}
		claims = append(claims, c)
	}
	for _, c := range claims {
		c.holding()
		c.release()
	}
	a.free(ticket(op.Name, 1))
}

func checkOtherLimit(f *fixture) {
	a, b := f.peer(), f.peer()
	first := a.take(ticket("s", 1))
	f.otherLimit(b, ticket("s", 2))
	f.otherLimit(a, ticket("s", 2))
	second := b.acquire(ticket("s", 1))
	first.holding()
	first.release()
	second.wait()
	f.otherLimit(a, ticket("s", 3))
	second.release()
	// Nobody uses it any more: the limit may change.
	tickets := []*claim{a.take(ticket("s", 2)), b.take(ticket("s", 2))}
	a.busy(ticket("s", 2))
	for _, c := range tickets {
		c.release()
	}
	a.free(ticket("s", 1))
}

// otherLimit fails the test unless op fails by its limit, asked for in either way.
func (f *fixture) otherLimit(p *peer, op backend.Op) {
	f.Helper()
	for _, wait := range []bool{false, true} {
		r := p.mustSend(p.claim(op, wait, nil).op)[0]
		if r.State != backend.Failed || !errors.Is(r.Err, backend.ErrLimit) {
			f.Fatalf("limit %d with wait %v: state %d, error %v; want ErrLimit", op.Limit, wait, r.State, r.Err)
		}
	}
}
