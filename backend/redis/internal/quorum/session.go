package quorum

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A session implements [backend.Session] on the nodes of a quorum. It has a replica
// to each of them, and a machine that decides; nobody who holds its mutex waits for a node.
type session struct {
	// Immutable.
	quorum   *Engine
	id       string
	ttl      time.Duration
	who      backend.ClientInfo
	majority int
	replicas []*replica
	life     context.Context // of all requests; ends when the session is abandoned
	cut      context.CancelFunc
	done     chan struct{} // closed by Close
	running  sync.WaitGroup
	most     atomic.Int64 // the longest time to live, by this process and the nodes
	mail     *mailbox.Mailbox
	moved    chan struct{} // holds one: sent when an answer or a fall came, received by Apply
	counted  chan struct{} // closed when all replicas have greeted or failed
	alarm    chan struct{} // holds one: sent when there is an alarm earlier than before, received by watch

	mu      sync.Mutex // guards what follows, and the replicas as they say; released by unlock
	votes   *vote.Machine
	opened  bool // Open has returned it
	closed  bool
	unfit   error
	watched time.Time // the alarm that watch waits for
}

var _ backend.Session = (*session)(nil)

func newSession(q *Engine, ttl time.Duration, who backend.ClientInfo) *session {
	who.Reason = redislock.Brief(who.Reason)
	s := &session{
		quorum:   q,
		id:       redislock.NewID(),
		ttl:      ttl,
		who:      who,
		majority: vote.Majority(len(q.nodes)),
		done:     make(chan struct{}),
		moved:    make(chan struct{}, 1),
		counted:  make(chan struct{}),
		alarm:    make(chan struct{}, 1),
	}
	s.mail = mailbox.New(&s.mu)
	s.life, s.cut = context.WithCancel(context.Background())
	s.most.Store(int64(q.most))
	for i, n := range q.nodes {
		s.replicas = append(s.replicas, newReplica(s, i, n))
	}
	s.votes = vote.New(vote.Config{
		TTL:   ttl,
		Nodes: q.names(),
		Doing: func(node int) string { return s.replicas[node].doing() },
		Ahead: q.Ahead,
	})
	return s
}

// unlock unlocks the mutex, and wakes those for whom the machine has something.
func (s *session) unlock() {
	e := s.votes.Effects()
	for i, l := range s.replicas {
		if e.Send[i] {
			wake(l.kick)
		}
	}
	for _, e := range s.votes.Events() {
		s.mail.Send(e)
	}
	if e.Moved {
		wake(s.moved)
	}
	if next := s.votes.Next(); !next.IsZero() && (s.watched.IsZero() || next.Before(s.watched)) {
		wake(s.alarm)
	}
	s.mu.Unlock()
}

// wake sends to a channel that holds one.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watch has the machine look at what is due, until the session ends.
func (s *session) watch() {
	defer s.running.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		s.votes.Attend(time.Now())
		s.watched = s.votes.Next()
		wait := time.Hour
		if !s.watched.IsZero() {
			wait = time.Until(s.watched)
		}
		s.unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.alarm:
		case <-s.done:
			return
		}
	}
}

// patience is for how long a connection may be silent. It leaves time for another
// one before the epochs end.
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

// Recv implements [backend.Session].
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) { return s.mail.Recv(ctx) }

// Sizes returns how much the session keeps, by what it is: for tests of sessions that
// live long.
func (s *session) Sizes() map[string]int {
	s.mu.Lock()
	defer s.unlock()
	size := s.votes.Sizes()
	size["events"] += s.mail.Size()
	for _, l := range s.replicas {
		size["connections"] += l.wire.Size()
		size["arguments"] += cap(l.args)
	}
	return size
}
