package single

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// channel is where the server's messages to the session come.
func (s *session) channel() string { return s.engine.prefix + "c:" + s.id }

// subscribe returns a subscription that the server has confirmed, within patience where
// that is not 0.
func (s *session) subscribe(ctx context.Context, patience time.Duration) (*redis.PubSub, error) {
	sub := s.client.Subscribe(ctx, s.channel())
	v, err := sub.ReceiveTimeout(ctx, patience)
	if err == nil {
		if _, ok := v.(*redis.Subscription); ok {
			return sub, nil
		}
		err = fmt.Errorf("unexpected answer %T", v)
	}
	sub.Close()
	return nil, err
}

// listen takes the messages of the server until the session ends. What it misses
// while there is no subscription comes with a heartbeat, and who waits asks.
func (s *session) listen() {
	defer close(s.listening)
	s.mu.Lock()
	sub := s.subscription
	s.mu.Unlock()
	pinged := false
	for s.life.Err() == nil {
		if sub == nil {
			sub, pinged = s.resubscribe(), false
			continue
		}
		// A connection that says nothing, not even to a ping, is dead.
		v, err := sub.ReceiveTimeout(s.life, max(s.patience/2, 10*time.Millisecond))
		var silence net.Error
		switch {
		case err == nil:
			pinged = false
			if m, ok := v.(*redis.Message); ok {
				s.message(m.Payload)
			}
		case pinged && redisconn.Refusal(err) != nil:
			pinged = false // It may not ping, and is told so.
		case errors.As(err, &silence) && silence.Timeout() && !pinged && sub.Ping(s.life) == nil:
			pinged = true
		default:
			sub.Close()
			sub = nil
		}
	}
}

// resubscribe returns a new subscription, however long that takes, or nil when the
// session ends.
func (s *session) resubscribe() *redis.PubSub {
	began, pause := time.Now(), time.Millisecond
	for s.life.Err() == nil {
		sub, err := s.trySubscribe()
		if err == nil {
			return sub
		}
		denied := redisconn.Refusal(err) != nil && redislock.Lasting(redisconn.Refusal(err))
		if denied {
			pause = redislock.DeniedPause
		}
		if denied || time.Since(began) > s.ttl/2 {
			s.notice(fmt.Errorf("the server's messages do not reach the session, so who waits polls: %w", err))
		}
		s.poll(pause)
		pause = min(2*pause, time.Second)
	}
	return nil
}

func (s *session) trySubscribe() (*redis.PubSub, error) {
	ctx, cancel := context.WithTimeout(s.life, s.patience)
	defer cancel()
	sub, err := s.subscribe(ctx, s.patience)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		sub.Close()
		return nil, backend.ErrClosed
	}
	s.subscription = sub
	return sub, nil
}

// poll has those who wait ask again, until pause is over or the session ends.
func (s *session) poll(pause time.Duration) {
	over := time.NewTimer(pause)
	defer over.Stop()
	tick := time.NewTicker(min(redislock.PollWithout, max(s.ttl/8, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return
		case <-s.life.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		for _, b := range s.shards {
			if b == nil {
				continue
			}
			n := redislock.PollSome // They stand in the order in which they have asked.
			for c := b.queued.First(); c != nil && n > 0; c = c.link.Next() {
				s.mail.Send(backend.Event{Kind: backend.EventTurn, Owner: c.owner})
				n--
			}
		}
		s.mu.Unlock()
	}
}

// message takes one message: the session's name in a shard, a number, and news.
func (s *session) message(payload string) {
	sid, rest, _ := strings.Cut(payload, " ")
	number, text, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !strings.HasPrefix(sid, s.id) {
		return
	}
	lease, err := strconv.ParseUint(sid[len(s.id):], 10, 32)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.shards[lease%shards]
	if b == nil || b.sid != sid {
		return // of a lease that fell
	}
	if n == b.received+1 {
		b.received = n
	}
	b.hear(text)
}
