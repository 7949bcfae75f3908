// Package session drives the sessions of a store: it opens one when there is
// work, hands it batches one at a time, keeps its leases alive, sends again what
// got no answer, and opens the next one when it dies.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/dlock-go/dlock/backend"
)

const (
	// repair is the longest time between heartbeats while something is awaited:
	// a driver finds out in its heartbeat that a push was lost.
	repair = time.Second
	// parting is how long a dead session may take to close.
	parting = time.Second
)

// errOverdue ends a session that did not answer a batch within its time to live:
// by then every lease that the answer could have extended has lapsed.
var errOverdue = errors.New("no answer within the time to live")

// A Link is the coordinator's line to the store, with at most one session at its
// end. It is closed at first and after every failure, until it is woken by a
// batch.
type Link struct {
	// Immutable.
	backend backend.Backend
	ttl     time.Duration
	party   backend.Party
	logger  *slog.Logger
	report  func(*Report)
	ctx     context.Context // of all calls to the driver but Close
	abort   context.CancelCauseFunc
	opening context.Context // of calls to Open; descends from ctx
	giveUp  context.CancelFunc

	// in is what run works on: a batch, ticks, the end of receive and the end of
	// the link. There is room for all that can be there at the same time, so
	// nobody blocks. Never closed.
	in   chan task
	quit chan struct{} // closed by Close
	done chan struct{} // closed by run when all goroutines of the link are over

	awaiting atomic.Bool     // set by the coordinator, read by run
	farewell context.Context // set by Close before it closes quit

	// asleep is how long the machine had slept before the last request, in
	// nanoseconds. Set by run, read by receive.
	asleep atomic.Int64
	pulse  pulse

	// Owned by run.
	again    []backend.Op // of unknown outcome, to be sent again in this order
	why      error        // what the driver said of one of them, or nil
	batch    []backend.Op // what Apply gets of a batch when there is something to send again
	answer   Report       // to a batch: the coordinator is done with it when it sends the next one
	reopen   backoff.BackOff
	resend   backoff.BackOff
	failures int  // to open a session, in a row
	lost     bool // a session was, and none has been opened since
	taken    int  // batches received
	leased   bool // the session has leases
}

// A task is something for run to do.
type task struct {
	kind taskKind
	ops  []backend.Op    // of a batch
	at   time.Time       // of a batch: when it was sent
	of   backend.Session // of an end: whose it is
	err  error           // of an end: why
}

type taskKind uint8

const (
	apply taskKind = iota + 1 // a batch
	tick                      // look whether a heartbeat is due
	ended                     // receive is over
	stop                      // the link is to be closed
)

// NewLink returns a closed link and starts its goroutine, which Close ends. The
// link calls report from its goroutines, in order for each kind of report; it
// must not block for long.
func NewLink(b backend.Backend, ttl time.Duration, party backend.Party, logger *slog.Logger, report func(*Report)) *Link {
	l := &Link{
		backend: b,
		ttl:     ttl,
		party:   party,
		logger:  logger,
		report:  report,
		in:      make(chan task, 8),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
		reopen:  exponential(20*time.Millisecond, 2*time.Second),
		resend:  exponential(5*time.Millisecond, min(repair, ttl/6)),
	}
	l.ctx, l.abort = context.WithCancelCause(context.Background())
	l.opening, l.giveUp = context.WithCancel(l.ctx)
	go l.run()
	return l
}

func exponential(first, longest time.Duration) backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first),
		backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0),
	)
}

// Send gives the link a batch to apply, or wakes a closed link by any batch, which
// is not applied then. It does not block. The batch belongs to the link until it
// reports an Answer to it, or Up, OpenFailed or Down, and no other one is sent
// before that. Down tells by Taken whether the batch is still to come: then it
// wakes the link. now is the present time.
func (l *Link) Send(ops []backend.Op, now time.Time) {
	l.in <- task{kind: apply, ops: ops, at: now}
}

// Await tells the link whether the coordinator waits for news from the store.
func (l *Link) Await(awaiting bool) {
	if l.awaiting.Load() != awaiting {
		l.awaiting.Store(awaiting)
	}
}

// Close ends the session and the link's goroutines, and returns when they are
// gone. When ctx ends, calls to the driver are cut short. It is called once.
func (l *Link) Close(ctx context.Context) {
	l.farewell = ctx
	close(l.quit)
	l.in <- task{kind: stop}
	l.giveUp()
	cut := context.AfterFunc(ctx, func() { l.abort(ctx.Err()) })
	defer cut()
	<-l.done
	l.abort(backend.ErrClosed)
}

func (l *Link) run() {
	defer close(l.done)
	for {
		t := <-l.in
		switch t.kind {
		case apply:
			l.taken++
			s := l.open()
			if s != nil && !l.drive(s) {
				return
			}
		case stop:
			return
		}
	}
}

// open opens a session, or reports why it could not and waits before the next
// attempt.
func (l *Link) open() backend.Session {
	ctx, cancel := context.WithTimeout(l.opening, l.ttl)
	l.asleep.Store(int64(slept(time.Now())))
	s, err := l.backend.Open(ctx, l.ttl, l.party)
	cancel()
	if err == nil {
		if l.failures > 0 || l.lost {
			l.logger.Info("dlock: session reopened", "backend", l.backend.String(), "attempts", l.failures+1)
		}
		l.failures, l.lost = 0, false
		l.reopen.Reset()
		return s
	}
	l.failures++
	pause := l.reopen.NextBackOff()
	l.report(&Report{Kind: OpenFailed, Err: err, Attempt: l.failures, Pause: pause})
	select {
	case <-time.After(pause):
	case <-l.quit:
	}
	return nil
}

// drive works for one session. It is false when the link is to be closed.
func (l *Link) drive(s backend.Session) bool {
	ctx, cancel := context.WithCancelCause(l.ctx)
	l.again, l.leased = l.again[:0], false
	l.resend.Reset()
	l.pulse.start(l, cancel)
	received := make(chan struct{}) // closed by receive
	go l.receive(ctx, s, received)
	l.report(&Report{Kind: Up})

	err := l.serve(ctx, s)
	l.pulse.stop()
	cancel(err)
	if err == nil {
		l.close(l.farewell, s)
		<-received
		return false
	}
	// The losses are told before the session is closed: that can take its time, and
	// frees what holders would still believe to have.
	<-received
	l.lost = true
	l.logger.Warn("dlock: session lost", "backend", l.backend.String(), "error", err)
	told := make(chan struct{})
	l.report(&Report{Kind: Down, Err: err, Taken: l.taken, Told: told})
	<-told
	parted, done := context.WithTimeout(context.Background(), min(parting, l.ttl))
	defer done()
	l.close(parted, s)
	return true
}

func (l *Link) close(ctx context.Context, s backend.Session) {
	if err := s.Close(ctx); err != nil {
		l.logger.Warn("dlock: closing a session", "backend", l.backend.String(), "error", err)
	}
}

// serve applies batches and heartbeats. It returns why the session died, or nil
// when the link is to be closed.
func (l *Link) serve(ctx context.Context, s backend.Session) error {
	for {
		var queued bool
		var err error
		switch t := <-l.in; t.kind {
		case apply:
			l.taken++
			l.pulse.begin(t.at)
			queued, err = l.apply(ctx, s, t.ops, true)
		case tick:
			if !l.pulse.due() {
				continue
			}
			ops := l.again
			l.again = nil
			l.pulse.begin(time.Now())
			queued, err = l.apply(ctx, s, ops, false)
		case ended:
			if t.of != s {
				continue // News of a session that was given up for another reason.
			}
			err = fmt.Errorf("receiving events: %w", t.err)
		case stop:
			return nil
		}
		if err != nil {
			return err
		}
		if len(l.again) > 0 {
			pause := l.resend.NextBackOff()
			l.logger.Info("dlock: no answer; operations are sent again", "backend", l.backend.String(),
				"error", l.why, "operations", len(l.again), "retry_in", pause)
			l.pulse.end(pause)
		} else {
			l.pulse.end(l.interval(queued))
		}
	}
}

// interval is the time between two heartbeats.
func (l *Link) interval(queued bool) time.Duration {
	if queued || l.awaiting.Load() {
		return min(l.ttl/3, repair)
	}
	return l.ttl / 3
}

// apply runs one batch and reports the answer. queued tells that something began
// to wait at the store.
func (l *Link) apply(ctx context.Context, s backend.Session, ops []backend.Op, batch bool) (queued bool, err error) {
	if batch && len(l.again) > 0 {
		ops = l.behind(ops)
	}
	asleep := time.Duration(l.asleep.Load())
	if l.leased {
		asleep = slept(time.Now())
		l.asleep.Store(int64(asleep))
	}
	results, leases, err := s.Apply(ctx, ops)
	if cause := context.Cause(ctx); cause != nil {
		return false, cmp.Or(err, cause) // Overdue, or cut short by Close.
	}
	if err != nil {
		return false, err
	}
	if len(results) != len(ops) {
		return false, fmt.Errorf("driver answered %d of %d operations", len(results), len(ops))
	}

	r := &l.answer
	if !batch {
		r = new(Report) // The last answer to a batch may still be on its way.
	}
	*r = Report{Kind: Answer, Batch: batch, Ops: r.Ops[:0], Results: r.Results[:0], Leases: r.Leases[:0]}
	unknown := 0
	for i := range results {
		if results[i].State == backend.Unknown {
			l.again = append(l.again, ops[i])
			l.why = results[i].Err
			unknown++
			continue
		}
		queued = queued || results[i].State == backend.Queued
		r.Ops = append(r.Ops, ops[i])
		r.Results = append(r.Results, results[i])
	}
	r.Leases = append(r.Leases, leases...)
	r.Asleep, r.Unknown = asleep, unknown
	l.leased = l.leased || len(leases) > 0
	if unknown == 0 {
		l.resend.Reset()
	}
	if batch || unknown > 0 || len(r.Ops) > 0 || len(r.Leases) > 0 {
		l.report(r)
	}
	return queued, nil
}

// behind keeps the order of each owner: an op of an owner with another op still
// to be sent again waits behind that one. It returns the others.
func (l *Link) behind(ops []backend.Op) []backend.Op {
	pending := make(map[uint64]bool, len(l.again))
	for i := range l.again {
		pending[l.again[i].Owner] = true
	}
	l.batch = l.batch[:0]
	for _, op := range ops {
		if pending[op.Owner] {
			l.again = append(l.again, op)
		} else {
			l.batch = append(l.batch, op)
		}
	}
	return l.batch
}

// receive passes events on until the session ends.
func (l *Link) receive(ctx context.Context, s backend.Session, received chan<- struct{}) {
	defer close(received)
	for {
		asleep := time.Duration(l.asleep.Load())
		events, err := s.Recv(ctx)
		if err != nil {
			if ctx.Err() == nil {
				l.in <- task{kind: ended, of: s, err: err}
			}
			return
		}
		l.report(&Report{Kind: News, Events: slices.Clone(events), Asleep: asleep})
		runtime.Gosched() // Who is told goes first, for Recv may have work to do.
	}
}
