// Package coordinator is the actor at the heart of dlock: one goroutine that
// owns all claims of a client and its line to the store. What it decides is
// decided by a [Machine], which is pure; the coordinator around it only moves
// messages.
//
// The package is an internal of dlock, and promises no compatibility.
package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/throttle"
	"github.com/dlock-go/dlock/session"
)

const (
	// patience bounds the waits for a store that have no other bound.
	patience = 5 * time.Second
	// orderly is how long Close waits beyond its ctx for goroutines that are ending,
	// and Open for the reason why it did not succeed in time.
	orderly = 100 * time.Millisecond
)

// Config is what a coordinator needs to know.
type Config struct {
	Backend    backend.Backend
	TTL        time.Duration
	ClientInfo backend.ClientInfo
	Handoff    time.Duration
	Logger     *slog.Logger
	// OnLoss is called for each claim that was lost. It must not block.
	OnLoss func(c *Claim, err error)
	// OnLate is called for each claim whose release the store has not confirmed
	// when its holder is not to wait any longer. It must not block.
	OnLate func(c *Claim)
}

// A Coordinator arbitrates between the claims of one client. It is safe for
// concurrent use.
//
// Whatever happens to it arrives in one inbox, as this is its hot path: a receive
// from one channel costs a fraction of a select over several. For the same reason
// its callers do not select on its end. Instead no message is ever left without
// an answer: the coordinator drains the inbox when it ends, and who sends after
// that drains it himself.
type Coordinator struct {
	// Immutable.
	config   Config
	patience time.Duration

	inbox chan message  // sent by any goroutine, received by run and, once over is set, by drain; never closed
	over  atomic.Bool   // set by run when it no longer receives
	done  chan struct{} // closed by run when all goroutines of the coordinator are over

	// readies keeps channels of claims that are empty and that nobody sends on
	// any more. It is the coordinator's own, for a channel must not get from one
	// testing/synctest bubble to another.
	readies sync.Pool

	trouble  atomic.Pointer[error] // why the store does not do what it should, or nil; set by run
	counters counters              // set by run

	// Owned by run.
	machine      *Machine
	link         *session.Link
	leases       leases
	nudge        *time.Timer  // looks for those who are not to wait for ever
	nudging      bool         // nudge is set
	open         bool         // the link has a session
	free         bool         // the link takes a batch
	sent         int          // batches since the beginning
	ops          []backend.Op // the next batch, and then the one on its way
	openers      []opener     // those who wait for a session
	outage       throttle.Throttle
	notices      notices
	told         chan<- struct{} // closed when the effects of a session's end are told, or nil
	closeCtx     context.Context // of Close, once it was called
	closeExpired bool            // closeCtx has ended
}

// An opener waits for a session.
type opener struct {
	ctx    context.Context // bounds the opening
	opened chan<- error    // has room for one
}

// A message is something that happened.
type message struct {
	kind   messageKind
	claim  *Claim
	report *session.Report
	opener opener
	ctx    context.Context
}

type messageKind uint8

const (
	submit       messageKind = iota + 1 // a claim
	cancel                              // a claim
	release                             // a claim
	reported                            // by the link
	open                                // somebody waits for a session
	lapse                               // a lease may have lapsed
	nudge                               // somebody may have waited for too long
	closing                             // Close was called
	closeExpired                        // its ctx has ended
)

// New returns a running coordinator. It does not connect before somebody wants
// something.
func New(config Config) *Coordinator {
	c := &Coordinator{
		config:   config,
		patience: min(patience, config.TTL),
		inbox:    make(chan message, 256),
		done:     make(chan struct{}),
		machine:  NewMachine(config.Backend.Caps(), config.Handoff),
		free:     true,
	}
	c.link = session.NewLink(config.Backend, config.TTL, config.ClientInfo, config.Logger, func(r *session.Report) {
		c.send(message{kind: reported, report: r})
	})
	c.leases.init(config.TTL, func() { c.send(message{kind: lapse}) })
	c.nudge = time.AfterFunc(time.Hour, func() { c.send(message{kind: nudge}) })
	c.nudge.Stop()
	go c.run()
	return c
}

// send puts a message into the inbox.
func (c *Coordinator) send(m message) {
	c.inbox <- m
	if c.over.Load() {
		c.drain()
	}
}

// drain answers messages in place of a coordinator that is over. Either run sees
// a message or its sender sees that run is over: both look after they have acted.
func (c *Coordinator) drain() {
	for {
		select {
		case m := <-c.inbox:
			switch m.kind {
			case submit:
				m.claim.Err = ErrClosed
				m.claim.ready <- struct{}{}
			case release:
				if !m.claim.quiet {
					m.claim.Err = m.claim.Ended()
				}
				m.claim.answer()
			case open:
				m.opener.opened <- ErrClosed
			case reported:
				if m.report.Told != nil {
					close(m.report.Told)
				}
			}
		default:
			return
		}
	}
}

func (c *Coordinator) run() {
	defer close(c.done)
	for c.closeCtx == nil || c.open && !c.closeExpired && !c.machine.Empty() {
		m := <-c.inbox
		now := time.Now()
		c.handle(m, now)
		for range len(c.inbox) {
			c.handle(<-c.inbox, now)
		}
		c.work(now)
		c.counters.present(c.machine)
		c.tell(now)
		if c.leases.unwatched() {
			c.checkLeases()
			c.tell(now)
		}
	}
	c.leases.stop()
	c.nudge.Stop()
	c.over.Store(true)
	c.drain()
	c.link.Close(c.closeCtx)
	c.opened(ErrClosed)
}

// work gives the link what there is to do.
func (c *Coordinator) work(now time.Time) {
	switch {
	case !c.free:
	case c.open:
		if c.machine.Pending() {
			c.ops = c.machine.Batch(c.ops[:0], now)
			c.link.Await(c.machine.Awaiting())
			if len(c.ops) > 0 {
				c.give(c.ops, now)
			}
		}
	case c.machine.Waiting() > 0 || len(c.openers) > 0:
		c.give(nil, now)
	}
	if !c.nudging && c.machine.Impatient() {
		c.nudging = true
		c.nudge.Reset(c.patience / 16)
	}
}

func (c *Coordinator) give(ops []backend.Op, now time.Time) {
	c.free = false
	c.sent++
	if len(ops) > 0 {
		c.counters.batches.Add(1)
		c.counters.ops.Add(uint64(len(ops)))
	}
	var opener context.Context
	if len(c.openers) > 0 {
		opener = c.openers[0].ctx
	}
	c.link.Send(ops, now, opener)
}

func (c *Coordinator) handle(m message, now time.Time) {
	switch m.kind {
	case submit:
		c.machine.Submit(m.claim, now)
	case cancel:
		c.machine.Cancel(m.claim, now)
	case release:
		c.seen(m.claim)
		c.machine.Release(m.claim, now)
	case reported:
		c.take(m.report, now)
	case open:
		if c.open {
			m.opener.opened <- nil
		} else {
			c.openers = append(c.openers, m.opener)
		}
	case lapse:
		c.checkLeases()
	case nudge:
		c.nudging = false
		c.machine.Overdue(now.Add(-c.patience), c.silence())
	case closing:
		if c.closeCtx == nil {
			c.closeCtx = m.ctx
			c.machine.Close()
		}
	case closeExpired:
		// A later Close may be less patient than the first, whose ctx counts.
		if c.closeCtx != nil && c.closeCtx.Err() != nil {
			c.closeExpired = true
		}
	}
}

var errSilent = errors.New("dlock: no answer from the store in time")

// silence is errSilent with its cause.
func (c *Coordinator) silence() error {
	if trouble := c.trouble.Load(); trouble != nil {
		return fmt.Errorf("%w: %w", errSilent, *trouble)
	}
	return errSilent
}

// take takes a report of the link.
func (c *Coordinator) take(r *session.Report, now time.Time) {
	switch r.Kind {
	case session.Up:
		c.open, c.free = true, true
		c.troubles(nil)
		c.outage.Over()
		c.opened(nil)
	case session.OpenFailed:
		c.free = true
		c.troubles(r.Err)
		c.counters.retries.Add(1)
		c.machine.Unreachable(r.Err)
		waiting := c.machine.Waiting()
		if len(c.openers) == 0 && c.outage.Due(now) { // The openers have been told.
			c.config.Logger.Warn("dlock: store out of reach", "backend", c.config.Backend.String(),
				"error", r.Err, "attempt", r.Attempt, "waiting", waiting, "retry_in", r.Pause)
		}
		c.opened(r.Err)
	case session.Answer:
		c.free = c.free || r.Batch
		c.counters.retries.Add(uint64(r.Unacked))
		c.troubles(r.Trouble)
		for _, l := range r.Leases {
			c.extend(l, r.Asleep)
		}
		for i := range r.Results {
			if r.Results[i].State == backend.Granted {
				c.depend(r.Ops[i].Owner, r.Results[i].Grant.Lease, r.Asleep)
			}
		}
		c.machine.Answered(r.Ops, r.Results, now)
	case session.News:
		for i := range r.Events {
			switch e := &r.Events[i]; e.Kind {
			case backend.EventGranted:
				c.depend(e.Owner, e.Grant.Lease, r.Asleep)
			case backend.EventNotice:
				if c.notices.fresh(e.Err.Error()) {
					c.config.Logger.Warn("dlock: notice of the store", "backend", c.config.Backend.String(), "error", e.Err)
				}
			}
		}
		c.machine.Heard(r.Events, now)
	case session.Down:
		c.open, c.free = false, r.Taken == c.sent
		c.troubles(r.Err)
		c.machine.Down(r.Err, r.Unsure)
		c.leases.clear()
		c.told = r.Told
	}
	c.link.Await(c.machine.Awaiting())
}

// troubles notes why the store does not do what it should, or that it does.
func (c *Coordinator) troubles(why error) {
	switch {
	case why != nil:
		kept := why // Or why itself would be allocated, trouble or not.
		c.trouble.Store(&kept)
	case c.trouble.Load() != nil:
		c.trouble.Store(nil)
	}
}

func (c *Coordinator) opened(err error) {
	for _, o := range c.openers {
		o.opened <- err
	}
	c.openers = nil
}

// tell carries out the machine's effects. All holders hear before anybody else does.
func (c *Coordinator) tell(now time.Time) {
	effects := c.machine.Effects()
	losses := 0
	for i := range effects {
		if effects[i].lost() {
			losses++
		}
	}
	if losses > 0 {
		c.counters.lost.Add(uint64(losses)) // before anybody hears of them
	}
	for _, e := range effects {
		switch e.Kind {
		case Grant:
			e.Claim.Token, e.Claim.Via = e.Token, e.Via
			e.Claim.lease.Store(c.leases.get(e.Lease.ID))
			c.counters.granted(e.Via, now.Sub(e.Claim.since))
			e.Claim.answer()
		case Refuse, Freed:
			if e.Late {
				c.config.OnLate(e.Claim)
			}
			e.Claim.Err = e.Err
			if e.Told { // by an effect before this one, perhaps
				e.Claim.Err = e.Claim.Ended()
			}
			e.Claim.answer()
		case Move:
			e.Claim.lease.Store(c.leases.get(e.Lease.ID))
		case End:
			e.Claim.end(e.Err)
		}
	}
	if losses > 0 {
		for i := range effects {
			if e := &effects[i]; e.lost() {
				c.config.OnLoss(e.Claim, e.Err)
			}
		}
	}
	c.machine.Told()
	if c.told != nil {
		close(c.told)
		c.told = nil
	}
}
