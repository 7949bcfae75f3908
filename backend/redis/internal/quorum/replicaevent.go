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
	defer s.mu.Unlock()
	was := s.deaf()
	if l.deaf = why != nil; !l.deaf {
		return
	}
	if l.state == lineUp || unsubscribable(why) { // Else it is more than the messages.
		s.notice(l, fmt.Errorf("the server's messages do not reach the session, so who waits polls where no other server's do: %w", why))
	}
	if was || !s.deaf() {
		return
	}
	for _, b := range s.acquisitions {
		if b.state == bidWaiting && b.op.Wait && b.due.IsZero() {
			s.pollSoon(b, time.Now())
		}
	}
	s.stirAlarm()
}

// deaf reports whether no node's messages come. One that hears of a release asks all.
func (s *session) deaf() bool {
	up := false
	for _, l := range s.replicas {
		if l.state == lineUp {
			if !l.deaf {
				return false
			}
			up = true
		}
	}
	return up
}

// pollSoon has an acquisition that waits ask again soon, the later the more there are.
func (s *session) pollSoon(b *acquisition, now time.Time) {
	s.alarms.set(b, now.Add(min(redislock.PollWithout*time.Duration(1+len(s.alarms.queue)/redislock.PollSome), PollEvery)))
}

// pushed takes a message: words of a letter, an owner, and perhaps a slash and a slot.
func (s *session) pushed(l *replica, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.stir()
	now := time.Now()
	for word := range strings.FieldsSeq(message) {
		name, slot, _ := strings.Cut(word[1:], "/")
		owner, err := strconv.ParseUint(name, 10, 64)
		b := s.acquisitions[owner]
		if err != nil || b == nil {
			continue
		}
		switch word[0] {
		case 't':
			s.turn(b, l, slot, now)
		case 'c':
			s.contend(b)
		}
	}
}

// contend notes that another session waits for what b has.
func (s *session) contend(b *acquisition) {
	if b.contended {
		return
	}
	b.contended = true
	if b.state == bidHolding && !b.fresh {
		s.tell(backend.Event{Kind: backend.EventContended, Owner: b.op.Owner})
	}
}
