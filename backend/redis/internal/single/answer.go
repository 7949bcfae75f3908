package single

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// answer takes the server's answer to a request that was sent at before. s.mu is
// held.
func (b *shard) answer(r *request, v any, before time.Time) {
	c := r.claim
	n, ok := v.(int64)
	var result backend.Result
	switch text, _ := v.(string); {
	case r.kind == release && ok && n != freed && n != gone:
		result = backend.Result{State: backend.Unknown, Err: errAnswer}
	case r.kind == release && ok:
		result.State = backend.Released
		if c.freeing = r.again; n == gone {
			result.State = c.missing()
		}
		b.session.forget(c)
	case r.kind == release:
		result = backend.Result{State: backend.Refused, Err: redisconn.ErrorText(text)}
	case r.kind == touch:
		if c.state != held || n != touched && n != gone {
			break // What is refused is tried again by the next heartbeat.
		}
		if n == gone {
			b.lose(c, errors.New("its key was taken away"))
			break
		}
		c.due = b.half(before)
		c.move(&b.held)
	default:
		result = b.acquired(r, v, before)
	}
	if r.result != nil {
		*r.result = result
	}
}

// acquired is answer for an Acquire. s.mu is held.
func (b *shard) acquired(r *request, v any, before time.Time) (result backend.Result) {
	c := r.claim
	n, ok := v.(int64)
	switch text, _ := v.(string); {
	case !ok && text == wrongLimit:
		result = backend.Result{State: backend.Failed, Err: backend.ErrLimit}
		b.failed(r, backend.ErrLimit)
	case !ok:
		cause, left := strings.CutPrefix(text, leftBehind)
		cause, unchanged := strings.CutPrefix(cause, unchanged)
		result = backend.Result{State: backend.Failed, Err: redisconn.ErrorText(cause)}
		if left || unchanged && (r.again || c.state != asked) || redisconn.Passes(cause) {
			result.State = backend.Refused
		} else {
			b.failed(r, result.Err)
		}
	case n == busy:
		result.State = backend.Busy
		b.session.forget(c)
	case n == waits:
		result.State = backend.Queued
		c.asking = false
		if c.state != held {
			c.state, c.due = queued, b.half(before)
			c.move(&b.queued)
		}
	case !isOrdinal(max(n, -n)):
		result = backend.Result{State: backend.Unknown, Err: errAnswer}
	default:
		c.asking = false
		result = backend.Result{State: backend.Granted, Grant: b.grant(max(n, -n), n < 0)}
		known := c.state == held
		c.state, c.due = held, b.half(before)
		c.move(&b.held)
		if r.result == nil && !known {
			b.session.mail.Send(backend.Event{Kind: backend.EventGranted, Owner: c.owner, Grant: result.Grant})
		}
	}
	return result
}

// isOrdinal reports whether an answer can be the ordinal of a grant.
func isOrdinal(n int64) bool { return n > gone && n <= backend.MaxOrdinal }

// failed takes the failure of an Acquire, of which nothing is left. One that nobody
// asked for is told by having its owner ask. s.mu is held.
func (b *shard) failed(r *request, why error) {
	switch c := r.claim; {
	case r.result != nil:
		b.session.forget(c)
	case c.state == held:
		b.lose(c, why)
	default:
		b.session.mail.Send(backend.Event{Kind: backend.EventTurn, Owner: c.owner})
	}
}

// refuse answers a request of which the server has done nothing. s.mu is held.
func (b *shard) refuse(r *request, why error) {
	*r.result = backend.Result{State: backend.Refused, Err: why}
	c := r.claim
	if r.kind == acquire && redislock.Lasting(why) && !c.asking && c.state == asked {
		r.result.State = backend.Failed
		b.session.forget(c)
	}
}

// half returns until when a key that was touched then is to be touched again: when its
// horizon is half over. s.mu is held.
func (b *shard) half(at time.Time) time.Time { return at.Add(b.horizon / 2) }

// grant returns the terms of a grant as they are now. s.mu is held.
func (b *shard) grant(ordinal int64, contended bool) backend.Grant {
	return backend.Grant{Lease: b.lease, Ordinal: uint64(ordinal), Contended: contended}
}

// lose tells that c is no longer held. s.mu is held.
func (b *shard) lose(c *claim, why error) {
	c.link.Remove()
	c.state = lost
	b.session.mail.Send(backend.Event{Kind: backend.EventLost, Owner: c.owner, Err: why})
}

// news takes what a heartbeat says: how many have died, how many messages there
// were, and those that did not arrive. s.mu is held.
func (b *shard) news(v any) {
	list, _ := v.([]any)
	if len(list) < 2 {
		return
	}
	if n, ok := list[0].(int64); ok && n != b.deaths {
		b.deaths, b.look = n, true
	}
	for _, text := range list[2:] {
		if text, ok := text.(string); ok {
			b.hear(text)
		}
	}
	if n, ok := list[1].(int64); ok {
		b.received = max(b.received, uint64(n))
	}
}

// hear takes a message. It may come more than once. s.mu is held.
func (b *shard) hear(text string) {
	if text == "" {
		return
	}
	kind, rest := text[0], text[1:]
	owner, terms, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(owner, 10, 64)
	if err != nil {
		return
	}
	c := b.session.claims[n]
	if c == nil || c.shard != b || c.state == lost {
		return
	}
	switch kind {
	case 'C':
		b.session.mail.Send(backend.Event{Kind: backend.EventContended, Owner: n})
	case 'G':
		ordinal, contended := strings.CutSuffix(terms, " c")
		o, err := strconv.ParseInt(ordinal, 10, 64)
		if err != nil || !isOrdinal(o) {
			return
		}
		// Who gave it has another horizon than this session, perhaps.
		c.state, c.due = held, time.Time{}
		c.link.Remove()
		b.held.Unshift(c, &c.link)
		b.session.mail.Send(backend.Event{Kind: backend.EventGranted, Owner: n, Grant: b.grant(o, contended)})
	}
}

// forget drops a claim. s.mu is held.
func (s *session) forget(c *claim) {
	c.link.Remove()
	if s.claims[c.owner] == c {
		delete(s.claims, c.owner)
		c.shard.claims--
	}
}
