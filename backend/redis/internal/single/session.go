package single

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A session implements [backend.Session] on one node or cluster. It has one
// connection for its batches, and one for the messages that the server sends to
// it. On a cluster it is a session in each shard that it uses.
type session struct {
	// Immutable.
	engine    *Engine
	client    redis.UniversalClient
	wire      *redisconn.Wire
	ttl       time.Duration
	horizon   time.Duration // of keys, after the last touch
	patience  time.Duration // for an answer
	id        string        // of 16 characters
	who       backend.ClientInfo
	life      context.Context // ends with the session
	end       context.CancelFunc
	mail      *mailbox.Mailbox
	listening chan struct{} // closed by listen when it returns
	watching  chan struct{} // closed by watch when it returns
	finished  chan *shard   // has room for all; sent by run, received by Apply

	applying sync.Mutex     // held by Apply, and by Close while it gives back
	running  sync.WaitGroup // of shards that Apply did not wait for

	// Guarded by applying.
	results []backend.Result
	leases  []backend.Lease
	calls   calls

	mu           sync.Mutex // guards what follows
	closed       bool
	shards       [shards]*shard // those in use; on one node the first
	claims       map[uint64]*claim
	subscription *redis.PubSub // or nil while messages do not come
	noticed      redislock.Notices
	unfit        error // why nothing is granted on these servers, or nil

}

var _ backend.Session = (*session)(nil)

// begin connects and makes sure that the server is fit. Nothing but ctx bounds it.
func (s *session) begin(ctx context.Context) error {
	s.wire.Open()
	defer s.wire.CutAfter(ctx)()
	if err := redisconn.Fit(ctx, s.client); err != nil {
		return s.failed(ctx, "asking the server what it is", err)
	}
	// Subscribed before the first op, no message is missed.
	sub, err := s.subscribe(ctx, 0)
	if why := redisconn.Refusal(err); err != nil && (why == nil || !redislock.Lasting(why)) {
		return s.failed(ctx, "subscribing to the channel of the session", err)
	}
	b := s.shard(0)
	// The server does nothing for a session that it does not know, but has the script then:
	// later a slow link might have no time to send it.
	_, err = batchScript.Call(ctx, s.client, b.arguments(nil, false, 0))
	if err == nil {
		err = b.begin(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if sub != nil {
			sub.Close()
		}
		return s.failed(ctx, "making the session known to the server", err)
	}
	s.wire.Opened(s.patience)
	s.subscription = sub
	if s.engine.node.Failover != nil {
		if why := redisconn.Splits(ctx, s.client); why != nil {
			s.notice(why)
		}
	}
	go s.listen()
	go s.watch()
	return nil
}

// failed returns why a session could not be opened, with the step that it was at.
func (s *session) failed(ctx context.Context, step string, err error) error {
	switch reaching := s.wire.Reaching(); reaching {
	case "":
	case "connecting":
		step = "connecting to " + s.engine.node.Addr
	default:
		step = reaching + " with " + s.engine.node.Addr
	}
	if why := redisconn.Refusal(err); why != nil {
		err = why
	} else {
		err = redisconn.Reason(ctx, err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

// shard returns the shard of that number.
func (s *session) shard(number int) *shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shards[number] == nil {
		s.shards[number] = newShard(s, number)
	}
	return s.shards[number]
}

// Apply implements [backend.Session].
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.over() {
		return nil, nil, backend.ErrClosed
	}
	s.results = slices.Grow(s.results[:0], len(ops))[:len(ops)]
	s.leases = s.leases[:0]
	err := s.apply(ctx, ops)
	if s.over() {
		err = backend.ErrClosed
	}
	if err != nil {
		return nil, nil, err
	}
	return s.results, s.leases, nil
}

func (s *session) apply(ctx context.Context, ops []backend.Op) error {
	if s.engine.node.Cluster != nil {
		return s.spread(ctx, ops)
	}
	call := s.calls.begin(ctx, s)
	defer s.calls.done()
	lease, err := s.shards[0].apply(call, ops, s.results)
	if err == nil && !lease.Until.IsZero() {
		s.leases = append(s.leases, lease)
	}
	return err
}

func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Recv implements [backend.Session].
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) { return s.mail.Recv(ctx) }

// Close implements [backend.Session].
func (s *session) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mail.End(backend.ErrClosed)
	sub := s.subscription
	s.mu.Unlock()

	// What is under way has nobody left to hear its answer.
	s.end()
	if !s.applying.TryLock() {
		s.wire.Cut()
		s.applying.Lock()
	}
	defer s.applying.Unlock()
	for _, b := range s.inUse() {
		if b.part.running {
			s.wire.Cut()
		}
	}
	s.running.Wait()
	s.hangUp(sub)
	err := s.giveBack(ctx)
	s.client.Close()
	return err
}

// hangUp ends the subscription, and what goes on beside Apply. A listener that is
// connecting anew keeps it from being closed until it has had an answer, and so its
// connection is cut.
func (s *session) hangUp(sub *redis.PubSub) {
	closed := make(chan struct{})
	go unsubscribe(sub, closed)
	for _, over := range []<-chan struct{}{s.listening, s.watching} {
		for ended := false; !ended; {
			select {
			case <-over:
				ended = true
			case <-time.After(min(s.patience, 100*time.Millisecond)):
				s.wire.Cut()
			}
		}
	}
	<-closed
}

func unsubscribe(sub *redis.PubSub, closed chan<- struct{}) {
	defer close(closed)
	if sub != nil {
		sub.Close()
	}
}

// giveBack releases all that the session has, unless ctx has ended.
func (s *session) giveBack(ctx context.Context) error {
	defer s.wire.CutAfter(ctx)()
	for _, b := range s.shards {
		if b == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := b.giveBack(ctx); err != nil {
			return redisconn.Reason(ctx, err)
		}
	}
	return nil
}
