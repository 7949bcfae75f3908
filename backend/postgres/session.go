package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
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
				wt.wire.Exec(pgsql.UnlockAll)
			}
			wt.wire.Leave(now)
		}
	}
	// A pooler may keep the connection when we have left.
	s.holder.conn.Exec(pgsql.UnlockAll)
	s.holder.conn.Leave(now)
}
