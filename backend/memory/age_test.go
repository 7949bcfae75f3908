package memory

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A couple is two sessions of one store that grow old together.
type couple struct {
	st     *Store
	a, b   *session
	n      int    // cycles
	owners uint64 // of a and b
}

// do applies an op by a new owner, and returns its Release.
func (l *couple) do(s *session, class backend.Class, mode backend.Mode, limit uint32, name string) (release backend.Op, state backend.State) {
	l.owners++
	op := backend.Op{Do: backend.Acquire, Class: class, Mode: mode, Wait: true, Owner: l.owners, Limit: limit, Name: name}
	results, _, _ := s.Apply(context.Background(), []backend.Op{op})
	op.Do = backend.Release
	return op, results[0].State
}

func release(s *session, ops ...backend.Op) { s.Apply(context.Background(), ops) }

// hear takes what there is to hear.
func hear(s *session) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Recv(ctx)
}

// lives are the events by which something could be left behind, one cycle of each.
var lives = map[string]func(l *couple){
	"idleness": func(l *couple) { release(l.a) },
	"contention": func(l *couple) {
		first, _ := l.do(l.a, backend.Mutex, backend.Exclusive, 1, "x")
		second, _ := l.do(l.b, backend.Mutex, backend.Exclusive, 1, "x")
		hear(l.a)
		release(l.a, first)
		hear(l.b)
		release(l.b, second)
	},
	"sessions": func(l *couple) {
		b, _ := l.st.Open(context.Background(), time.Second, backend.ClientInfo{})
		s := b.(*session)
		l.do(s, backend.RWMutex, backend.Exclusive, 1, "x")
		l.do(s, backend.RWMutex, backend.Shared, 1, "x")
		l.do(l.a, backend.RWMutex, backend.Shared, 1, "x")
		s.Close(context.Background())
		hear(l.a)
		release(l.a, backend.Op{Do: backend.Release, Owner: l.owners})
	},
	"names": func(l *couple) {
		op, _ := l.do(l.a, backend.Class(1+l.n%3), backend.Exclusive, 1, strconv.Itoa(l.n))
		release(l.a, op)
	},
	"limits": func(l *couple) {
		var ops []backend.Op
		limit := uint32(1 + l.n%20)
		for range limit {
			op, _ := l.do(l.a, backend.Semaphore, backend.Exclusive, limit, "x")
			ops = append(ops, op)
		}
		l.do(l.b, backend.Semaphore, backend.Exclusive, limit+1, "x")
		release(l.a, ops...)
	},
	"cancelled waits": func(l *couple) {
		first, _ := l.do(l.a, backend.RWMutex, backend.Exclusive, 1, "x")
		second, _ := l.do(l.b, backend.RWMutex, backend.Shared, 1, "x")
		third, _ := l.do(l.b, backend.RWMutex, backend.Exclusive, 1, "x")
		hear(l.a)
		release(l.b, third, second)
		release(l.a, first)
	},
}

func (l *couple) census() map[string]int {
	count := map[string]int{"goroutines": runtime.NumGoroutine(), "spare locks": len(l.st.spareLocks), "spare claims": len(l.st.spareClaims)}
	for _, locks := range l.st.locks {
		count["locks"] += len(locks)
	}
	for _, s := range []*session{l.a, l.b} {
		count["claims"] += len(s.claims)
		count["room for events"] += s.mail.Size()
		count["room for results"] += cap(s.results)
	}
	return count
}

// A client of a month keeps no more than one of a minute.
func TestAge(t *testing.T) {
	n := 1000
	if os.Getenv("DLOCK_LONG") != "" {
		n = 10_000
	}
	for event, cycle := range lives {
		t.Run(event, func(t *testing.T) {
			l := &couple{st: New()}
			for _, s := range []**session{&l.a, &l.b} {
				b, err := l.st.Open(t.Context(), time.Second, backend.ClientInfo{})
				if err != nil {
					t.Fatal(err)
				}
				*s = b.(*session)
			}
			var first map[string]int
			for part := range 10 {
				for range n / 10 {
					cycle(l)
					l.n++
				}
				if part == 0 {
					first = l.census()
				}
			}
			last := l.census()
			for what, is := range last {
				if is > first[what] {
					t.Errorf("%d %s, %d after the first part", is, what, first[what])
				}
			}
			if last["claims"]+last["locks"]+last["events"] > 0 {
				t.Errorf("something is left: %v", last)
			}
		})
	}
}
