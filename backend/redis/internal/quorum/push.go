package quorum

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
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// This file is how a replica hears of what its node pushes. What it misses is made good
// by the polls of those who wait.

// An ear is a subscription with a client of its own.
type ear struct {
	*redis.PubSub
	client redis.UniversalClient
}

func (e *ear) close() {
	e.PubSub.Close()
	e.client.Close()
}

// subscribe returns a subscription that the node has confirmed.
func (l *replica) subscribe(ctx context.Context) (*ear, error) {
	client, patience := l.dial(), l.session.patience()
	if l.wire.Unlimited() {
		patience = 0
	}
	e := &ear{client.Subscribe(ctx, l.session.quorum.prefix+"c:"+l.session.id), client}
	v, err := e.ReceiveTimeout(ctx, patience)
	if err == nil {
		if _, ok := v.(*redis.Subscription); ok {
			return e, nil
		}
		err = fmt.Errorf("unexpected answer %T", v)
	}
	e.close()
	return nil, err
}

// unsubscribable reports whether a server forbids the subscription, or the channel.
func unsubscribable(err error) bool { return errors.Is(redisconn.Refusal(err), backend.ErrDenied) }

// listen takes what the node pushes until the session ends.
func (l *replica) listen(e *ear) {
	defer l.session.running.Done()
	ctx := l.session.life
	pinged := false
	for !l.session.ending() {
		if e == nil {
			e, pinged = l.resubscribe(ctx), false
			continue
		}
		// A connection that says nothing, not even to a ping, is dead.
		v, err := e.ReceiveTimeout(ctx, l.session.patience())
		var silence net.Error
		switch {
		case err == nil:
			pinged = false
			if m, ok := v.(*redis.Message); ok {
				l.session.pushed(l, m.Payload)
			}
		case pinged && redisconn.Refusal(err) != nil:
			pinged = false // It may not ping, and is told so.
		case errors.As(err, &silence) && silence.Timeout() && !pinged && e.Ping(ctx) == nil:
			pinged = true
		default:
			e.close()
			e = nil
		}
	}
	if e != nil {
		e.close()
	}
}

// resubscribe returns a new subscription, however long that takes, or nil when the
// session ends.
func (l *replica) resubscribe(ctx context.Context) *ear {
	s := l.session
	for began := time.Now(); !s.ending(); {
		e, err := l.subscribe(ctx)
		if err == nil {
			s.hears(l, nil)
			return e
		}
		pause := min(s.ttl/8, 200*time.Millisecond)
		denied := unsubscribable(err)
		if denied {
			pause = redislock.DeniedPause
		}
		if denied || time.Since(began) > s.ttl/2 {
			s.hears(l, err)
		}
		select {
		case <-time.After(pause):
		case <-s.done:
		}
	}
	return nil
}

// hears notes whether a node's messages come, or why they do not.
func (s *session) hears(l *replica, why error) {
	s.mu.Lock()
	defer s.unlock()
	s.votes.Hears(l.index, why, unsubscribable(why), time.Now())
}

// pushed takes a message: words of a letter, an owner, and perhaps a slash and a slot.
func (s *session) pushed(l *replica, message string) {
	s.mu.Lock()
	defer s.unlock()
	now := time.Now()
	for word := range strings.FieldsSeq(message) {
		name, at, some := strings.Cut(word[1:], "/")
		owner, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue
		}
		switch word[0] {
		case tellTurn:
			slot, err := strconv.ParseInt(at, 10, 64)
			if !some || err != nil {
				slot = vote.NoSlot
			}
			s.votes.Turn(l.index, owner, slot, now)
		case tellContended:
			s.votes.Contended(owner)
		}
	}
}
