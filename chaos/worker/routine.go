package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/journal"
	"github.com/dlock-go/dlock/chaos/register"
)

// A locker is one way to take one lock.
type locker interface {
	Acquire(ctx context.Context) (*dlock.Hold, error)
	TryAcquire(ctx context.Context) (*dlock.Hold, error)
}

type reader struct{ *dlock.RWMutex }

func (r reader) Acquire(ctx context.Context) (*dlock.Hold, error)    { return r.AcquireRead(ctx) }
func (r reader) TryAcquire(ctx context.Context) (*dlock.Hold, error) { return r.TryAcquireRead(ctx) }

func (w *worker) lock(c *client, name int, mode backend.Mode) locker {
	switch n := job.Name(name); w.job.Class {
	case backend.Mutex:
		return c.Mutex(n)
	case backend.RWMutex:
		if mode == backend.Shared {
			return reader{c.RWMutex(n)}
		}
		return c.RWMutex(n)
	default:
		return c.Semaphore(n, w.job.Limit)
	}
}

// A routine is a goroutine that takes locks and gives them back.
type routine struct {
	w         *worker
	client    *client
	sits      bool
	rand      *rand.Rand
	registers *register.Client
}

func (w *worker) routine(c *client, number int) (*routine, error) {
	r, err := register.Dial(w.job.Registers)
	if err != nil {
		return nil, err
	}
	return &routine{
		w:         w,
		client:    c,
		sits:      number >= w.job.Churners,
		rand:      rand.New(rand.NewPCG(w.job.Seed, uint64(w.job.Slot)<<32|uint64(c.index)<<16|uint64(number))),
		registers: r,
	}, nil
}

func (h *routine) work() {
	defer h.w.working.Done()
	defer h.registers.Close()
	for h.w.stop.Err() == nil {
		h.turn()
		h.pause(time.Duration(h.rand.Int64N(int64(2 * time.Millisecond))))
	}
}

func (h *routine) pause(d time.Duration) { pause(h.w.stop, d) }

// turn is one acquisition, from the call to the release.
func (h *routine) turn() {
	name, wait, sit := h.rand.IntN(h.w.job.Busy), 30*time.Second, time.Duration(0)
	switch p := h.rand.IntN(100); {
	case h.sits:
		name = h.w.job.Busy + h.rand.IntN(h.w.job.Long)
		sit = h.w.job.TTL/2 + time.Duration(h.rand.Int64N(int64(2*h.w.job.TTL)))
	case p < 15:
		wait = -1
	case p < 30:
		wait = time.Duration(h.rand.Int64N(int64(20 * time.Millisecond)))
	}
	if !h.sits && h.rand.IntN(2) == 0 {
		sit = time.Duration(h.rand.Int64N(int64(4 * time.Millisecond)))
	}
	mode := backend.Exclusive
	if h.w.job.Class == backend.RWMutex {
		// Most read. But on one name most write, so many that some readers are passed
		// until it is their turn.
		if !h.sits && h.rand.IntN(3) == 0 {
			name = 0
		}
		if readers := h.rand.IntN(8); name == 0 && !h.sits && readers == 0 || (name != 0 || h.sits) && readers < 6 {
			mode = backend.Shared
		}
	}

	op := h.w.ops.Add(1)
	hold := h.acquire(op, name, mode, wait)
	if hold == nil {
		return
	}
	t, token := h.w.granted(h.client, op, name, hold)
	h.hold(op, hold, t, name, mode, token, sit)
	h.w.release(h.client, op, hold)
}

// granted notes down a grant, and returns what it depends on.
func (w *worker) granted(c *client, op int64, name int, hold *dlock.Hold) (*terms, uint64) {
	token, _ := hold.Token()
	t := c.recordingStore.termsOf(job.Name(name), token)
	until, _ := hold.Deadline()
	if t == nil { // It was lost in the moment of its grant.
		w.journal.Add(journal.Grant, c.index, op, 0, 0, 0, journal.Now(), int64(token))
		return nil, token
	}
	// What its holder may believe, if that is longer than what the store has said.
	l := t.lease.Load()
	w.journal.Add(journal.Grant, c.index, op, t.session, int64(t.owner), l.id, max(l.until.Load(), journal.At(until)), int64(token))
	return t, token
}

// acquire takes the lock, or notes down why not.
func (h *routine) acquire(op int64, name int, mode backend.Mode, wait time.Duration) *dlock.Hold {
	l := h.w.lock(h.client, name, mode)
	h.w.journal.Add(journal.Call, h.client.index, op, int64(name), int64(mode), int64(wait))
	var hold *dlock.Hold
	var err error
	if wait < 0 {
		hold, err = l.TryAcquire(h.listen(context.Background(), op))
	} else {
		ctx, cancel := context.WithTimeout(h.listen(h.w.stop, op), wait)
		hold, err = l.Acquire(ctx)
		cancel()
	}
	if err == nil {
		hold.Lost() // From now on it tells at once.
		return hold
	}
	if why := h.w.failed(h.client, op, err); why[0] == 'd' { // One of dlock's own errors: not at once again.
		h.pause(20 * time.Millisecond)
	}
	return nil
}

// failed notes down why there was no grant.
func (w *worker) failed(c *client, op int64, err error) string {
	why := err.Error()
	switch {
	case errors.Is(err, dlock.ErrBusy):
		why = "busy"
	case errors.Is(err, context.DeadlineExceeded):
		why = "timeout"
	case errors.Is(err, context.Canceled):
		why = "cancelled"
	}
	w.journal.Put(journal.Now(), journal.Fail, why, c.index, op)
	return why
}

// An ear is the span of an acquisition. That a hold is lost is an event in it,
// before anybody is told, and unlike the holder it does not have to be woken.
type ear struct {
	noop.Span
	routine *routine
	op      int64
}

func (h *routine) listen(ctx context.Context, op int64) context.Context {
	return trace.ContextWithSpan(ctx, &ear{routine: h, op: op})
}

// AddEvent implements [trace.Span].
func (e *ear) AddEvent(name string, _ ...trace.EventOption) {
	if name == "dlock.lost" {
		e.routine.w.journal.Add(journal.Signal, e.routine.client.index, e.op)
	}
}

// hold is the critical section. Whoever is told of a loss stops at once.
func (h *routine) hold(op int64, hold *dlock.Hold, t *terms, name int, mode backend.Mode, token uint64, d time.Duration) {
	counts := mode == backend.Exclusive && h.w.job.Class != backend.Semaphore
	var i register.Increment
	var err error
	if counts {
		if i, err = h.registers.Begin(name, token); err != nil {
			return // The controller is gone.
		}
	}
	if d > 0 {
		select {
		case <-hold.Lost():
			h.w.journal.Put(journal.Now(), journal.Lost, hold.Err().Error(), h.client.index, op)
			if counts && h.rand.IntN(2) == 0 {
				_ = i.End() // It ought to know better.
			}
			return
		case <-time.After(d):
		case <-h.w.stop.Done():
		}
	}
	// The clock is read before the hold is asked: then a hold that says that it
	// stands, though its deadline had passed, has no excuse.
	now, until := journal.Now(), int64(0)
	if t != nil {
		until = t.lease.Load().until.Load()
	}
	switch err := hold.Err(); {
	case err != nil:
		h.w.journal.Put(journal.Now(), journal.Lost, err.Error(), h.client.index, op)
	case until != 0 && now > until:
		h.w.journal.Put(now, journal.Overdue, "", h.client.index, op, until)
	}
	if counts {
		_ = i.End()
	}
}
