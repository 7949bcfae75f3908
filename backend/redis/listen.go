package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
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
// while it has no connection comes with a heartbeat.
func (s *session) listen() {
	defer close(s.listening)
	sub, pinged, pause := s.subscription, false, time.Millisecond
	for s.life.Err() == nil {
		if sub == nil {
			if sub = s.resubscribe(pause); sub == nil {
				pause = min(2*pause, time.Second)
				continue
			}
			pause = time.Millisecond
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
		case errors.As(err, &silence) && silence.Timeout() && !pinged:
			pinged = true
			if sub.Ping(s.life) == nil {
				continue
			}
			fallthrough
		default:
			sub.Close()
			sub, pinged = nil, false
		}
	}
}

// resubscribe returns a new subscription, or nil after a pause.
func (s *session) resubscribe(pause time.Duration) *redis.PubSub {
	ctx, cancel := context.WithTimeout(s.life, s.patience)
	defer cancel()
	sub, err := s.subscribe(ctx, s.patience)
	if err != nil {
		select {
		case <-time.After(pause):
		case <-s.life.Done():
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		sub.Close()
		return nil
	}
	s.subscription = sub
	return sub
}

// message takes one message: the session's name in a bucket, a number, and news.
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
	b := s.buckets[lease%buckets]
	if b == nil || b.sid != sid {
		return // of a lease that fell
	}
	if n == b.received+1 {
		b.received = n
	}
	b.hear(text)
}
