package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// What had no answer is sent again in time, however many batches come in between.
func TestResendUnderLoad(t *testing.T) {
	for _, do := range []backend.Do{backend.Acquire, backend.Release} {
		synctest.Test(t, func(t *testing.T) {
			var tries atomic.Int64
			l := newLine(t, &script{apply: each(func(op backend.Op) backend.Result {
				if op.Owner == 1 && tries.Add(1) < 4 {
					return backend.Result{State: backend.Unknown}
				}
				return done(op)
			})})
			defer l.end()
			l.up()
			begin := time.Now()
			l.Send([]backend.Op{op(do, 1)}, begin, nil)
			l.next(kind(Answer))
			for owner := uint64(2); tries.Load() < 4; owner++ {
				time.Sleep(time.Millisecond)
				if time.Since(begin) > time.Second {
					t.Fatalf("sent %d times in a second", tries.Load())
				}
				l.Send([]backend.Op{op(backend.Acquire, owner)}, time.Now(), nil)
				l.next(func(r *Report) bool { return r.Kind == Answer && r.Batch })
			}
		})
	}
}

// A batch that is always there leaves room for what is to be sent again.
func TestResendUnderFullLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		batches := 0
		s := &script{apply: func(_ context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
			time.Sleep(time.Millisecond) // The link is never idle.
			results := make([]backend.Result, len(ops))
			for i, op := range ops {
				results[i] = done(op)
				if op.Owner == 1 && tries.Add(1) < 3 {
					results[i] = backend.Result{State: backend.Unknown}
				}
			}
			return results, nil, nil
		}}
		l := newLine(t, s)
		defer l.end()
		l.up()
		l.Send([]backend.Op{op(backend.Release, 1)}, time.Now(), nil)
		l.next(kind(Answer))
		for tries.Load() < 3 && batches < 1000 {
			batches++
			l.Send([]backend.Op{op(backend.Acquire, uint64(batches+1))}, time.Now(), nil)
			// The next batch is there before the link is through with this one.
			l.next(func(r *Report) bool { return r.Kind == Answer && r.Batch })
		}
		if n := tries.Load(); n < 3 {
			t.Errorf("sent %d times beside %d batches", n, batches)
		}
	})
}

// A release that is sent again may be missing because of the first one. Only the
// first tells of a loss.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		l := newLine(t, &script{apply: each(func(op backend.Op) backend.Result {
			switch tries++; {
			case op.Owner == 1 && tries == 1:
				return backend.Result{State: backend.Unknown}
			case op.Owner == 2 && tries < 4:
				return backend.Result{State: backend.Refused, Err: errors.New("read-only")}
			}
			return backend.Result{State: backend.NotHeld}
		})})
		defer l.end()
		l.up()
		for owner, want := range []backend.State{1: backend.Released, 2: backend.NotHeld, 3: backend.NotHeld} {
			if owner == 0 {
				continue
			}
			l.Send([]backend.Op{op(backend.Release, uint64(owner))}, time.Now(), nil)
			if r := l.next(about(uint64(owner))); r.Results[0].State != want {
				t.Errorf("owner %d: state %d, want %d", owner, r.Results[0].State, want)
			}
		}
	})
}

// A refusal is sent again, announced at once and then ever more seldom, and told as
// trouble until it is over. Who does not wait hears of it.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := errors.New("LOADING")
		begin := time.Now()
		l := newLine(t, &script{apply: each(func(op backend.Op) backend.Result {
			if time.Since(begin) < time.Minute {
				return backend.Result{State: backend.Refused, Err: refusal}
			}
			return done(op)
		})})
		defer l.end()
		l.up()
		l.Send([]backend.Op{op(backend.Acquire, 1)}, time.Now(), nil)
		if r := l.next(kind(Answer)); r.Trouble != refusal || r.Unacked != 1 {
			t.Errorf("trouble %v, %d operations to be sent again", r.Trouble, r.Unacked)
		}
		if n := l.lines("the store refuses"); n != 1 {
			t.Errorf("%d lines at once", n)
		}
		try := op(backend.Acquire, 2)
		try.Wait = false
		l.Send([]backend.Op{try}, time.Now(), nil)
		if r := l.next(about(2)); r.Results[0].State != backend.Refused {
			t.Errorf("a try is answered by state %d", r.Results[0].State)
		}
		r := l.next(about(1))
		if r.Results[0].State != backend.Granted || r.Trouble != nil {
			t.Errorf("state %d, trouble %v", r.Results[0].State, r.Trouble)
		}
		if late := time.Since(begin) - time.Minute; late > 2*time.Second {
			t.Errorf("granted %v after the refusals were over", late)
		}
		if n := l.lines("the store refuses"); n < 5 || n > 8 {
			t.Errorf("%d lines in a minute", n)
		}
	})
}

// Opening is bounded by who waits for it, and otherwise by a time in which a slow
// link opens a session, which has nothing to do with the time to live.
func TestOpenBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		need := time.Hour
		s := &script{apply: each(done), open: func(ctx context.Context) error {
			select {
			case <-time.After(need):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}}
		l := newLine(t, s)
		defer l.end()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begin := time.Now()
		l.Send(nil, begin, ctx)
		if r := l.next(kind(OpenFailed)); !errors.Is(r.Err, context.DeadlineExceeded) || time.Since(begin) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), r.Err)
		}
		begin = time.Now()
		l.Send(nil, begin, nil)
		if r := l.next(kind(OpenFailed)); r.Err == nil || time.Since(begin) > time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), r.Err)
		}
		if l.lines("opening a session takes long") < 2 {
			t.Error("nobody is told that opening takes long")
		}
		need = 2 * scriptTTL
		l.Send(nil, time.Now(), nil)
		l.next(kind(Up))
	})
}

// When a session dies the link tells which releases may have taken effect.
func TestUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var death error
		unknown := true
		s := &script{apply: func(_ context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
			if len(ops) > 0 && ops[0].Owner == 2 {
				return nil, nil, death
			}
			if unknown && len(ops) > 0 {
				return []backend.Result{{State: backend.Unknown}}, nil, nil
			}
			return each(done)(nil, ops)
		}}
		l := newLine(t, s)
		defer l.end()
		for _, c := range []struct {
			death error
			want  int
		}{{errors.New("reset"), 2}, {backend.ErrSessionOver, 1}} {
			death = c.death
			l.up()
			l.Send([]backend.Op{op(backend.Release, 1)}, time.Now(), nil)
			l.next(kind(Answer))
			l.Send([]backend.Op{op(backend.Release, 2)}, time.Now(), nil)
			r := l.next(kind(Down))
			if len(r.Unsure) != c.want || !r.Unsure[1] || r.Unsure[2] != (c.want == 2) {
				t.Errorf("%v: unsure of %v", c.death, r.Unsure)
			}
		}
		unknown = false
		l.up()
		s.cut()
		if r := l.next(kind(Down)); len(r.Unsure) != 0 {
			t.Errorf("unsure of %v, of which nothing was sent", r.Unsure)
		}
	})
}

// An op of an owner who has another one to be sent again waits behind that.
func TestOrderOfOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []backend.Do
		unknown := true
		l := newLine(t, &script{apply: each(func(op backend.Op) backend.Result {
			mu.Lock()
			defer mu.Unlock()
			if op.Owner == 1 {
				seen = append(seen, op.Do)
			}
			if unknown && op.Owner == 1 {
				unknown = false
				return backend.Result{State: backend.Unknown}
			}
			return done(op)
		})})
		defer l.end()
		l.up()
		l.Send([]backend.Op{op(backend.Acquire, 1)}, time.Now(), nil)
		l.next(kind(Answer))
		l.Send([]backend.Op{op(backend.Release, 1), op(backend.Acquire, 2)}, time.Now(), nil)
		l.next(about(2))
		mu.Lock()
		if len(seen) != 1 {
			t.Errorf("seen %v before the first was repeated", seen)
		}
		mu.Unlock()
		r := l.next(about(1))
		mu.Lock()
		defer mu.Unlock()
		if len(r.Ops) != 2 || r.Results[1].State != backend.Released || len(seen) != 3 || seen[1] != backend.Acquire {
			t.Errorf("seen %v, answered %v", seen, r.Results)
		}
	})
}

// Silence is counted from when the store began to owe an answer.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, &script{apply: func(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
			if len(ops) > 0 {
				time.Sleep(time.Second)
			}
			return each(done)(ctx, ops)
		}})
		defer l.end()
		l.up()
		synctest.Wait()
		if d := l.Silence(); d != 0 {
			t.Errorf("silent for %v, asked for nothing", d)
		}
		l.Send([]backend.Op{op(backend.Acquire, 1)}, time.Now(), nil)
		time.Sleep(700 * time.Millisecond)
		if d := l.Silence(); d != 700*time.Millisecond {
			t.Errorf("silent for %v", d)
		}
		l.next(kind(Answer))
		synctest.Wait()
		if d := l.Silence(); d != 0 {
			t.Errorf("silent for %v after the answer", d)
		}
	})
}

// A lease that was declared over tells that to whoever would extend it.
func TestExtendOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLease()
		if !l.Extend(Now()+Instant(time.Second)) || l.Over() {
			t.Error("over at once")
		}
		time.Sleep(2 * time.Second)
		if l.Over() {
			t.Error("over, though nobody has looked")
		}
		l.Lapsed()
		if !l.Over() || l.Extend(Now()+Instant(time.Hour)) {
			t.Error("extended after somebody had seen it lapse")
		}
		if !LapsedLease().Over() {
			t.Error("a lapsed lease is not over")
		}
	})
}

// An Acquire that is refused in the same batch as the Release that withdraws it is not
// sent again: it would take the lock for nobody.
func TestRefusedAndWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var acquires atomic.Int64
		l := newLine(t, &script{apply: each(func(op backend.Op) backend.Result {
			if op.Do == backend.Release {
				return backend.Result{State: backend.Released}
			}
			acquires.Add(1)
			return backend.Result{State: backend.Refused, Err: errors.New("disk full")}
		})})
		defer l.end()
		l.up()
		l.Send([]backend.Op{op(backend.Acquire, 1), op(backend.Release, 1)}, time.Now(), nil)
		l.next(about(1))
		time.Sleep(time.Minute)
		if n := acquires.Load(); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}
