package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A session implements [backend.Session] on the nodes of a quorum. It has a replica
// to each of them; all that is known by their answers is under one mutex, and nobody
// who holds that waits for a node.
type session struct {
	// Immutable.
	quorum   *Engine
	id       string
	ttl      time.Duration
	who      backend.Party
	majority int
	replicas []*replica
	life     context.Context // of all requests; ends when the session is abandoned
	cut      context.CancelFunc
	done     chan struct{} // closed by Close
	running  sync.WaitGroup
	most     atomic.Int64  // the longest time to live, by this process and the nodes
	news     chan struct{} // holds one: sent when events begin to wait, received by Recv
	moved    chan struct{} // holds one: sent when an answer or a fall came, received by Apply
	counted  chan struct{} // closed when all replicas have greeted or failed
	alarm    chan struct{} // holds one: sent when there is an alarm earlier than before, received by watch

	// Owned by Apply.
	batch batch

	mu           sync.Mutex // guards what follows, and the replicas and acquisitions as they say
	opened       bool       // Open has returned it
	closed       bool
	unfit        error
	acquisitions map[uint64]*acquisition
	rota         rota
	slots        map[string]map[uint32]*acquisition // by lock: slots that acquisitions of this session go for
	footings     map[footingKey]*footing
	lastFooting  uint32
	ballots      ballots
	alarms       alarms
	watched      time.Time // the alarm that watch waits for
	events       []backend.Event
	deciding     map[*acquisition]bool // those whose answer Apply waits for
	mended       time.Time
	doubted      time.Time // when a node last said that it has forgotten the session
	noticed      redislock.Notices

	received []backend.Event // owned by Recv
}

var _ backend.Session = (*session)(nil)

func newSession(q *Engine, ttl time.Duration, who backend.Party) *session {
	who.Reason = redislock.Brief(who.Reason)
	s := &session{
		quorum:       q,
		id:           redislock.NewID(),
		ttl:          ttl,
		who:          who,
		majority:     q.majority(),
		done:         make(chan struct{}),
		news:         make(chan struct{}, 1),
		moved:        make(chan struct{}, 1),
		counted:      make(chan struct{}),
		alarm:        make(chan struct{}, 1),
		acquisitions: make(map[uint64]*acquisition),
		slots:        make(map[string]map[uint32]*acquisition),
		footings:     make(map[footingKey]*footing),
		deciding:     make(map[*acquisition]bool),
		ballots:      ballots{ahead: q.Ahead},
	}
	s.life, s.cut = context.WithCancel(context.Background())
	s.most.Store(int64(q.most))
	for i, n := range q.nodes {
		w := new(redisconn.Wire)
		w.Open()
		s.replicas = append(s.replicas, &replica{
			session: s,
			index:   i,
			node:    n,
			wire:    w,
			kick:    make(chan struct{}, 1),
			state:   lineDialing,
			rtt:     time.Millisecond,
			horizon: s.horizon(),
		})
	}
	return s
}

// patience is for how long a connection may be silent. It leaves time for another
// one before the terms end.
func (s *session) patience() time.Duration { return min(s.ttl/2, 5*time.Second) }

func (s *session) mostTTL() time.Duration { return time.Duration(s.most.Load()) }

func (s *session) ending() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// joined takes the word of a node that the connection speaks for a term.
func (s *session) joined(l *replica, name string, before time.Time, begun bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun {
		l.term = &term{name: name, until: before.Add(s.ttl - redislock.Drift(s.ttl))}
	}
	l.state, l.err = lineUp, nil
	l.wire.Opened(s.patience())
	l.wake()
	now := time.Now()
	s.reconsider(now)
	if begun {
		s.mendAll(now)
	}
}

// hasTerm reports whether a replica has a term. One that was begun without an answer is
// none: when it ends nobody here knows, and nothing was given in it.
func (s *session) hasTerm(l *replica) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.term != nil
}

// lostTerm ends the term of a replica, and with it all votes of that node.
func (s *session) lostTerm(l *replica, how termEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.term == nil || l.term.over {
		return
	}
	now := time.Now()
	if l.term.over, l.term.end = true, how; how == termForgotten {
		l.term.until = now
	}
	if how != termRestarted {
		s.doubt(now)
	}
	for _, b := range s.acquisitions {
		// It may have got the vote of another node since it stands on those that it does.
		if b.mendable(now) && b.footing.terms[l.index] == l.term {
			s.restand(b, now)
		}
	}
	for _, f := range s.footings {
		if !f.ended(now) && (f.terms.broken(s.majority) || !now.Before(f.terms.deadline(s.majority))) {
			f.lapsed = true
		}
	}
	l.queue = slices.DeleteFunc(l.queue, func(a *ask) bool { return a.kind == askCheck && !a.off })
	for _, b := range s.acquisitions {
		b.votes[l.index].check = nil
		if b.state == bidHolding && !b.fresh && !b.lost && b.footing.lapsed && b.footing.terms[l.index] == l.term {
			s.tell(backend.Event{Kind: backend.EventLost, Owner: b.op.Owner, Err: errForgotten})
		}
		v := &b.votes[l.index]
		if v.touched == l.term {
			v.ended(how)
			v.touched = nil
			v.freed = v.freed || b.state == bidFreeing
			if v.ask == nil && v.state != voteAsked {
				v.state = voteNone
			}
		}
	}
	l.term = nil
}

var errForgotten = errors.New("too few nodes remember the session")

// fell takes the end of a connection.
func (s *session) fell(l *replica, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if no := redisconn.Refusal(why); no != nil {
		why = no
	}
	l.state, l.err, l.began = lineDown, why, time.Time{}
	s.hasTried(l)
	s.reconsider(time.Now())
}

// parted takes the word of a node that nothing is left of the session.
func (s *session) parted(l *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.left = true
	s.stir()
}

// awaited reports whether Apply waits for the answer to b.
func (s *session) awaited(b *acquisition) bool { return s.deciding[b] }

// tell passes an event to Recv.
func (s *session) tell(e backend.Event) {
	s.events = append(s.events, e)
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// notice has the caller log something about a node. s.mu is held.
func (s *session) notice(l *replica, why error) {
	if why = fmt.Errorf("%s: %w", l.node, why); s.noticed.Fresh(why) {
		s.tell(backend.Event{Kind: backend.EventNotice, Err: why})
	}
}

// evicting notes whether a node would lose votes. s.mu is held.
func (s *session) evicting(l *replica, why error) {
	l.unfit = why
	if why != nil && s.opened {
		s.notice(l, why)
	}
}

// Recv implements [backend.Session].
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		events, err := s.receive()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-s.news:
		case <-s.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *session) receive() ([]backend.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, backend.ErrClosed
	}
	s.received = append(s.received[:0], s.events...)
	s.events = slices.Delete(s.events, 0, len(s.events))
	return s.received, nil
}
