package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
)

// A session implements [backend.Session] on one node or cluster. It has one
// connection for its batches, and one for the messages that the server sends to
// it. On a cluster it is a session in each bucket that it uses.
type session struct {
	// Immutable.
	engine    *single
	client    redis.UniversalClient
	wire      *wire
	ttl       time.Duration
	horizon   time.Duration // of keys, after the last touch
	patience  time.Duration // for an answer
	id        string        // of 16 characters
	who       backend.Party
	life      context.Context // ends with the session
	end       context.CancelFunc
	wake      chan struct{} // holds one: sent when events begin to wait, received by Recv
	listening chan struct{} // closed by listen when it returns
	watching  chan struct{} // closed by watch when it returns
	finished  chan *bucket  // has room for all; sent by run, received by Apply

	applying sync.Mutex     // held by Apply, and by Close while it gives back
	running  sync.WaitGroup // of buckets that Apply did not wait for

	// Guarded by applying.
	results []backend.Result
	leases  []backend.Lease
	calls   calls

	mu           sync.Mutex // guards what follows
	closed       bool
	buckets      [buckets]*bucket // those in use; on one node the first
	claims       map[uint64]*claim
	events       []backend.Event // not yet received
	subscription *redis.PubSub   // or nil while messages do not come
	noticed      notices
	unfit        error // why nothing is granted on these servers, or nil

	received []backend.Event // owned by Recv
}

var _ backend.Session = (*session)(nil)

// begin connects and makes sure that the server is fit. Nothing but ctx bounds it.
func (s *session) begin(ctx context.Context) error {
	s.wire.open()
	defer s.wire.cutAfter(ctx)()
	if err := fit(ctx, s.client); err != nil {
		return s.failed(ctx, "asking the server what it is", err)
	}
	// Subscribed before the first op, no message is missed.
	sub, err := s.subscribe(ctx, 0)
	if why := refusal(err); err != nil && (why == nil || !lasting(why)) {
		return s.failed(ctx, "subscribing to the channel of the session", err)
	}
	b := s.bucket(0)
	// The server does nothing for a session that it does not know, but has the script then:
	// later a slow link might have no time to send it.
	_, err = batchScript.call(ctx, s.client, b.arguments(nil, false, 0))
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
	s.wire.opened(s.patience)
	s.subscription = sub
	if s.engine.node.failover != nil {
		if why := splits(ctx, s.client); why != nil {
			s.notice(why)
		}
	}
	go s.listen()
	go s.watch()
	return nil
}

// failed returns why a session could not be opened, with the step that it was at.
func (s *session) failed(ctx context.Context, step string, err error) error {
	switch reaching := s.wire.reaching(); reaching {
	case "":
	case "connecting":
		step = "connecting to " + s.engine.node.addr
	default:
		step = reaching + " with " + s.engine.node.addr
	}
	if why := refusal(err); why != nil {
		err = why
	} else {
		err = reason(ctx, err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

// bucket returns the bucket of that number.
func (s *session) bucket(number int) *bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[number] == nil {
		s.buckets[number] = newBucket(s, number)
	}
	return s.buckets[number]
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
	if s.engine.node.cluster != nil {
		return s.spread(ctx, ops)
	}
	call := s.calls.begin(ctx, s)
	defer s.calls.done()
	lease, err := s.buckets[0].apply(call, ops, s.results)
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
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		events, err := s.receive()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-s.wake:
		case <-s.life.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// receive takes the events that wait. The slice that it took before is used for
// those to come.
func (s *session) receive() ([]backend.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, backend.ErrClosed
	}
	s.received, s.events = s.events, s.received[:0]
	return s.received, nil
}

// tell passes an event to Recv. s.mu is held.
func (s *session) tell(e backend.Event) {
	s.events = append(s.events, e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close implements [backend.Session].
func (s *session) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	sub := s.subscription
	s.mu.Unlock()

	// What is under way has nobody left to hear its answer.
	s.end()
	if !s.applying.TryLock() {
		s.wire.cut()
		s.applying.Lock()
	}
	defer s.applying.Unlock()
	for _, b := range s.inUse() {
		if b.part.running {
			s.wire.cut()
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
				s.wire.cut()
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
	defer s.wire.cutAfter(ctx)()
	for _, b := range s.buckets {
		if b == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := b.giveBack(ctx); err != nil {
			return reason(ctx, err)
		}
	}
	return nil
}
