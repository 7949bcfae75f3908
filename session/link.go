// Package session drives the sessions of a store: it opens one when there is
// work, hands it batches one at a time, keeps its leases alive, sends again what
// got no answer, and opens the next one when it dies.
//
// The package is an internal of dlock, and promises no compatibility.
package session

import (
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
	"github.com/dlock-go/dlock/internal/throttle"
)

const (
	// repair is the longest time between heartbeats while something is awaited:
	// a driver finds out in its heartbeat that a push was lost.
	repair = time.Second
	// closeTimeout is how long a dead session may take to close.
	closeTimeout = time.Second
	// opening is how long opening a session may take when nobody bounds it, at least.
	// A store that never answers is then tried again, while a link so slow that one
	// round trip takes seconds still gets there.
	opening = 15 * time.Second
	// slow is how long opening a session may take without a word in the log.
	slow = 3 * time.Second
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
	client  backend.ClientInfo
	logger  *slog.Logger
	report  func(*Report)
	ctx     context.Context // of all calls to the driver but Close
	abort   context.CancelCauseFunc
	leaving context.Context // ends when Close is called; descends from ctx
	leave   context.CancelFunc

	// in is what run works on: a batch, ticks, the end of receive and the end of
	// the link. There is room for all that can be there at the same time, so
	// nobody blocks. Never closed.
	in   chan task
	quit chan struct{} // closed by Close
	done chan struct{} // closed by run when all goroutines of the link are over

	awaiting atomic.Bool     // set by the coordinator, read by run
	busy     atomic.Int64    // since when the store owes an answer, in nanoseconds since made and one, or 0; set by run
	made     time.Time       // immutable
	closeCtx context.Context // set by Close before it closes quit

	// asleep is how long the machine had slept before the last request, in
	// nanoseconds. Set by run, read by receive.
	asleep    atomic.Int64
	heartbeat heartbeat

	// Owned by run.
	unacked  unacked
	batch    []backend.Op // what Apply gets of a batch when there is something to send again
	answer   Report       // to a batch: the coordinator is done with it when it sends the next one
	reopen   backoff.BackOff
	silent   throttle.Throttle // about operations without an answer
	refused  throttle.Throttle // about operations that the store refuses
	overdue  error             // why a lease was not renewed, or nil
	failures int               // to open a session, in a row
	lost     bool              // a session was, and none has been opened since
	taken    int               // batches received
	leased   bool              // the session has leases
}

// A task is something for run to do.
type task struct {
	kind   taskKind
	ops    []backend.Op    // of a batch
	at     time.Time       // of a batch: when it was sent
	opener context.Context // of a batch that opens a session: bounds that, or nil
	of     backend.Session // of an end: whose it is
	err    error           // of an end: why
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
func NewLink(b backend.Backend, ttl time.Duration, client backend.ClientInfo, logger *slog.Logger, report func(*Report)) *Link {
	l := &Link{
		backend: b,
		ttl:     ttl,
		client:  client,
		logger:  logger,
		report:  report,
		in:      make(chan task, 8),
		quit:    make(chan struct{}),
		made:    time.Now(),
		done:    make(chan struct{}),
		reopen:  exponential(20*time.Millisecond, 2*time.Second),
		unacked: unacked{pause: exponential(5*time.Millisecond, min(repair, ttl/6))},
	}
	l.ctx, l.abort = context.WithCancelCause(context.Background())
	l.leaving, l.leave = context.WithCancel(l.ctx)
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
//
// A closed link opens a session under the bound of opener, or, when that is nil, one
// of its own.
func (l *Link) Send(ops []backend.Op, now time.Time, opener context.Context) {
	l.in <- task{kind: apply, ops: ops, at: now, opener: opener}
}

// Await tells the link whether the coordinator waits for news from the store.
func (l *Link) Await(awaiting bool) {
	if l.awaiting.Load() != awaiting {
		l.awaiting.Store(awaiting)
	}
}

// Silence returns for how long the store has owed an answer, to a batch, a heartbeat
// or the opening of a session, and 0 when it owes none.
func (l *Link) Silence() time.Duration {
	busy := l.busy.Load()
	if busy == 0 {
		return 0
	}
	return max(time.Since(l.made)-time.Duration(busy-1), 1)
}

// ask notes that the store owes an answer since at.
func (l *Link) ask(at time.Time) { l.busy.Store(max(int64(at.Sub(l.made)), 0) + 1) }

// Close ends the session and the link's goroutines, and returns when they are
// gone. When ctx ends, calls to the driver are cut short. It is called once.
func (l *Link) Close(ctx context.Context) {
	l.closeCtx = ctx
	close(l.quit)
	l.in <- task{kind: stop}
	l.leave()
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
			s := l.open(t.opener)
			if s != nil && !l.drive(s) {
				return
			}
		case stop:
			return
		}
	}
}

// drive works for one session. It is false when the link is to be closed.
func (l *Link) drive(s backend.Session) bool {
	ctx, cancel := context.WithCancelCause(l.ctx)
	l.unacked.reset()
	l.silent.Over()
	l.refused.Over()
	l.leased, l.overdue = false, nil
	l.heartbeat.start(l, cancel)
	received := make(chan struct{}) // closed by receive
	go l.receive(ctx, s, received)
	l.report(&Report{Kind: Up})

	err := l.serve(ctx, s)
	l.heartbeat.stop()
	cancel(err)
	if err == nil {
		l.close(l.closeCtx, s)
		<-received
		return false
	}
	// The losses are told before the session is closed: that can take its time, and
	// frees what holders would still believe to have.
	<-received
	l.lost = true
	told := make(chan struct{})
	l.report(&Report{Kind: Down, Err: err, Unsure: l.unacked.unsure(), Taken: l.taken, Told: told})
	// Whoever reads this and closes the client comes behind the losses.
	l.logger.Warn("dlock: session lost", "backend", l.backend.String(), "error", err)
	<-told
	parted, done := context.WithTimeout(context.Background(), min(closeTimeout, l.ttl))
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
		var queued, tried bool
		var err error
		switch t := l.next(); t.kind {
		case apply:
			l.taken++
			l.ask(t.at)
			l.heartbeat.begin(t.at)
			queued, err = l.apply(ctx, s, l.unacked.hold(t.ops, &l.batch), nil, true)
		case tick:
			if !l.unacked.ripe(time.Now()) && !l.heartbeat.due() {
				continue
			}
			ops, sent := l.unacked.take()
			tried = true
			now := time.Now()
			l.ask(now)
			l.heartbeat.begin(now)
			queued, err = l.apply(ctx, s, ops, sent, false)
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
		if l.unacked.len() == 0 {
			l.unacked.reset()
			l.heartbeat.end(l.interval(queued))
		} else {
			l.heartbeat.endAt(l.unacked.due(time.Now(), tried))
		}
	}
}

// next waits for the next task. What is to be sent again goes first when its time
// has come, however many batches there are.
func (l *Link) next() task {
	if l.unacked.len() > 0 && l.unacked.ripe(time.Now()) {
		return task{kind: tick}
	}
	return <-l.in
}

// interval is the time between two heartbeats.
func (l *Link) interval(queued bool) time.Duration {
	if queued || l.awaiting.Load() {
		return min(l.ttl/3, repair)
	}
	return l.ttl / 3
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
