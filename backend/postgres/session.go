package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// A session implements [backend.Session] with a few connections: one, the holder
// session, has the locks and never waits for any; the others, wait sessions, wait.
//
// It is a state machine under one mutex. What happens comes from Apply, from the
// goroutine that reads a connection, and from a timer; each takes the mutex, does
// what is to be done, and sends what is to be sent.
type session struct {
	// Immutable.
	store *Store
	ttl   time.Duration
	who   backend.ClientInfo
	marker
	opens time.Duration   // how long opening another connection may take
	life  context.Context // ends with the session
	end   context.CancelFunc
	reach context.Context // ends with the connections
	sever context.CancelFunc
	mail  *mailbox.Mailbox
	moved chan struct{} // holds one: sent when something has happened, received by Apply
	watch chan struct{} // holds one: sent when readHolder is to look whether it is to read
	over  chan struct{} // closed when no goroutine of the session is left

	// Owned by Apply.
	results []backend.Result
	leases  []backend.Lease
	jobs    []job
	timer   *time.Timer

	mu      sync.Mutex // guards what follows
	err     error      // why the session is dead
	running int        // goroutines
	locks   map[lockID]*lock
	keys    map[keyID]*lock
	claims  map[uint64]*claim
	active  int // claims that ask, wait or hold
	pass    uint64
	freeing bool // in this pass there is a Release that is not done

	holder holder
	waits  waits
	clock  *time.Timer
	alarm  time.Time // when clock fires, or zero
}

var (
	errLapsed = errors.New("the server did not answer within the time to live")
	errStuck  = errors.New("the server did not end a wait in time, and may find out later that its client is gone")
	errPID    = errors.New("another backend answers than the one that held the locks: there is a pooler that shares backends between sessions")
)

func newSession(st *Store, ttl time.Duration, who backend.ClientInfo, w *pgwire.Conn, m marker, opening time.Duration) *session {
	s := &session{
		store:  st,
		ttl:    ttl,
		who:    who,
		marker: m,
		opens:  max(min(ttl/3, 2*time.Second), 2*opening),
		moved:  make(chan struct{}, 1),
		watch:  make(chan struct{}, 1),
		over:   make(chan struct{}),
		locks:  make(map[lockID]*lock),
		keys:   make(map[keyID]*lock),
		claims: make(map[uint64]*claim),
		holder: holder{conn: w},
		waits:  waits{foreign: make(map[keyID]time.Time), lease: holderLease},
	}
	s.mail = mailbox.New(&s.mu)
	s.life, s.end = context.WithCancel(context.Background())
	s.reach, s.sever = context.WithCancel(context.Background())
	s.clock = time.AfterFunc(time.Hour, s.rings)
	s.clock.Stop()
	s.waits.glance = time.AfterFunc(time.Hour, s.glances)
	s.waits.glance.Stop()
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	s.running++
	go s.readHolder()
	return s
}

// Apply implements [backend.Session].
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(s.err, backend.ErrClosed):
		return nil, nil, s.err
	case s.err != nil:
		return nil, nil, fmt.Errorf("%w: %w", backend.ErrSessionOver, s.err) // Nothing of ops was sent.
	}
	now := time.Now()
	s.jobs = slices.Grow(s.jobs[:0], len(ops))[:len(ops)]
	for i := range ops {
		s.jobs[i] = job{op: &ops[i]}
	}
	if len(ops) == 0 || now.Sub(s.holder.conn.Sent) > s.ttl/6 {
		s.holder.beat = true
	}
	s.tend(now)
	defer s.timer.Stop()
	late := false
	s.attend(true)
	for {
		left, slow := s.advance()
		patience := s.ttl / 3
		if !s.holder.beat && (len(ops) > 0 || !s.holder.proved.Before(now)) {
			if left == 0 {
				break
			}
			if left == slow {
				patience = min(patience, s.straggle(len(ops)))
			}
		}
		if late || s.err != nil || time.Since(now) >= patience {
			break
		}
		s.pump()
		if s.holder.conn.Busy && !s.holder.reading && s.holder.attentive {
			s.attend(s.readInline())
			late = ctx.Err() != nil || time.Since(now) > s.ttl/3
			continue
		}
		s.mu.Unlock()
		s.timer.Reset(patience - time.Since(now))
		select {
		case <-s.moved:
		case <-s.timer.C:
			late = time.Since(now) >= s.ttl/3
		case <-ctx.Done():
			late = true
		case <-s.life.Done():
		}
		s.mu.Lock()
	}
	s.pump()
	s.attend(false)
	s.dismiss()
	if s.err == nil && !s.holder.until.IsZero() && time.Now().After(s.holder.until) {
		s.die(errLapsed)
	}
	if s.err != nil {
		return s.died()
	}
	late = late || time.Since(now) >= s.ttl/3
	var silent error
	if late && s.holder.proved.Before(now) {
		silent = fmt.Errorf("the server has not answered within %v", time.Since(now).Round(time.Millisecond))
	}
	s.results = s.results[:0]
	for i := range s.jobs {
		j := &s.jobs[i]
		switch {
		case !j.done && j.slow && silent == nil:
			j.result = backend.Result{State: backend.Unknown, Err: errWithdrawing}
		case !j.done:
			j.result = backend.Result{State: backend.Unknown, Err: silent}
		case j.result.State == backend.Granted:
			j.result.Grant = backend.Grant{Lease: s.terms(j.claim.grip.waiter), Ordinal: j.claim.ordinal}
		}
		s.results = append(s.results, j.result)
	}
	clear(s.jobs)
	s.report(silent)
	return s.results, s.leases, nil
}

// straggle returns how long Apply waits for the end of waits when nothing else is to be
// waited for: the server ends them at its leisure, and others want to be served.
func (s *session) straggle(ops int) time.Duration {
	slow := 0
	for i := range s.jobs {
		j := &s.jobs[i]
		switch {
		case j.done || !j.slow:
		case !j.again:
			return 50 * time.Millisecond
		default:
			slow++
		}
	}
	if slow < ops {
		return 0
	}
	return 50 * time.Millisecond
}

var errWithdrawing = errors.New("the server has not ended a wait yet")

// report lists the leases that are new, and those that the server has not renewed;
// silent is why not that of the holder session.
func (s *session) report(silent error) {
	s.leases = s.leases[:0]
	switch {
	case s.holder.until.After(s.holder.told):
		s.holder.told = s.holder.until
		s.leases = append(s.leases, s.terms(nil))
	case silent != nil && !s.holder.until.IsZero():
		s.leases = append(s.leases, backend.Lease{ID: holderLease, Until: s.holder.until, Err: silent})
	}
	for _, wt := range s.waits.all {
		switch {
		case wt.step != keeper:
		case wt.until.After(wt.told):
			wt.told = wt.until
			s.leases = append(s.leases, s.terms(wt))
		case wt.wire.Busy && time.Since(wt.wire.Sent) > s.ttl/3:
			silent := fmt.Errorf("the connection that holds it has not answered within %v", time.Since(wt.wire.Sent).Round(time.Millisecond))
			s.leases = append(s.leases, backend.Lease{ID: wt.lease, Until: wt.until, Err: silent})
		}
	}
}

// terms returns the lease of a wait session, or of the holder session.
func (s *session) terms(wt *waitConn) backend.Lease {
	if wt != nil {
		return backend.Lease{ID: wt.lease, Until: wt.until}
	}
	return backend.Lease{ID: holderLease, Until: s.holder.until}
}

// Recv waits for events.
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) { return s.mail.Recv(ctx) }

// poke sends to a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// die ends the session with all that it has.
func (s *session) die(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.mail.End(err)
	s.cut()
	poke(s.watch)
}

// cut closes the connections.
func (s *session) cut() {
	s.end()
	s.sever()
	s.clock.Stop()
	s.waits.glance.Stop()
	_ = s.holder.conn.Conn.Close()
	for _, wt := range s.waits.all {
		if wt.wire != nil {
			_ = wt.wire.Conn.Close()
		}
	}
}

// finish counts a goroutine of the session as over.
func (s *session) finish() {
	if s.running--; s.running == 0 {
		close(s.over)
	}
}

// Close implements [backend.Session].
func (s *session) Close(ctx context.Context) error {
	s.mu.Lock()
	alive := s.err == nil
	s.err = backend.ErrClosed
	s.mail.End(s.err)
	if alive && ctx.Err() == nil {
		s.sayGoodbye()
	} else {
		s.cut()
	}
	s.end()
	s.clock.Stop()
	s.waits.glance.Stop()
	poke(s.watch)
	s.mu.Unlock()
	// A connection that is dead without a word is waited for no longer than any answer.
	silence := time.NewTimer(s.ttl)
	defer silence.Stop()
	defer s.sever()
	var err error
	select {
	case <-s.over:
		if s.waits.stuck {
			return errStuck
		}
		return nil
	case <-silence.C:
		err = errLapsed
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	s.cut()
	s.mu.Unlock()
	<-s.over
	if !alive {
		return nil
	}
	return err
}

// sayGoodbye asks the server to end all connections. It frees what a connection
// has before it closes it.
func (s *session) sayGoodbye() {
	now := time.Now()
	for _, wt := range s.waits.all {
		switch {
		case wt.wire == nil:
		case wt.wire.Busy:
			wt.wire.Leave(now)
			s.running++
			go s.expel(wt)
		default:
			if wt.step == keeper {
				wt.wire.Exec(stUnlockAll)
			}
			wt.wire.Leave(now)
		}
	}
	// A pooler may keep the connection when we have left.
	s.holder.conn.Exec(stUnlockAll)
	s.holder.conn.Leave(now)
}
