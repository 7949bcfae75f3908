package single

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
	"github.com/dlock-go/dlock/internal/chain"
)

// A shard is a session's part in one slot shard: a lease, and the claims that
// depend on it. On one node there is one shard and no slots.
//
// One goroutine at a time sends for it, which owns what is not guarded.
type shard struct {
	// Immutable.
	session *session
	base    string // what keys begin with

	// Owned by the sender.
	batch    uint64    // number of the last batch sent
	answered uint64    // number of the last batch that was answered
	acked    uint64    // messages that the server was told were received
	deaths   int64     // that the server has counted
	look     bool      // somebody died, who may have held what is awaited here
	beat     time.Time // when the last heartbeat was sent
	old      string    // the session that fell, and is to be ended
	begun    bool      // the server knows the session; guarded by session.mu, too
	trouble  error     // why the last batch had no answer, or none that helps
	requests []request
	args     []any

	// Guarded by session.mu.
	lease    backend.Lease
	horizon  time.Duration // of keys that are touched now; it never shrinks
	sid      string        // the session's name in this shard
	received uint64        // messages, without a gap
	claims   int           // of any state
	held     chain.List[claim]
	queued   chain.List[claim]

	part part // on a cluster, of spread
}

func newShard(s *session, number int) *shard {
	b := &shard{session: s, base: s.engine.base(number), horizon: s.horizon}
	b.rename(uint32(number))
	return b
}

// rename begins a new lease, which the server knows nothing of yet. s.mu is held,
// or nobody else knows b.
func (b *shard) rename(lease uint32) {
	b.lease = backend.Lease{ID: lease}
	b.sid = b.session.id + strconv.FormatUint(uint64(lease), 10)
	b.batch, b.answered, b.acked, b.received, b.begun = 0, 0, 0, 0, false
}

// begin makes the session known to the server.
func (b *shard) begin(ctx context.Context) error {
	s := b.session
	before := time.Now()
	args := append(sessionScript.Args(nil), 1, b.base+"a:"+b.sid, b.base, b.old, b.sid,
		s.ttl.Milliseconds(), b.horizon.Milliseconds(), 1, formatNumber, s.who.Host, s.who.PID, redislock.Brief(s.who.Reason), s.channel())
	v, err := b.call(ctx, sessionScript, args)
	if err != nil {
		return err
	}
	if format, ok := v.(string); ok {
		return redisconn.ErrFormat(s.engine.node, b.base, format, formatNumber)
	}
	b.deaths, _ = v.(int64)
	s.mu.Lock()
	defer s.mu.Unlock()
	b.old, b.begun, b.beat = "", true, before
	b.lease.Until = before.Add(s.ttl - redislock.Drift(s.ttl))
	return nil
}

// apply runs ops and answers them in results. It sends a heartbeat when one is
// due. An error says that the lease has fallen.
func (b *shard) apply(ctx context.Context, ops []backend.Op, results []backend.Result) (backend.Lease, error) {
	s := b.session
	s.mu.Lock()
	past := b.begun && !time.Now().Before(b.lease.Until)
	if past && b.claims == 0 && s.engine.node.Cluster != nil {
		b.old, past = b.sid, false
		b.rename(b.lease.ID + shards)
	}
	if !past {
		b.compile(ops, results)
	}
	s.mu.Unlock()
	if past {
		return backend.Lease{}, redislock.ErrDeadline
	}
	b.trouble = nil
	known := b.lease.Until // Nobody else moves it.
	now := time.Now()
	beat := len(ops) == 0 || now.Sub(b.beat) >= min(time.Second, s.ttl/12)
	if beat {
		s.mu.Lock()
		b.renew(now)
		s.mu.Unlock()
	}
	err := b.send(ctx, beat)
	if err == nil && b.look {
		s.mu.Lock()
		b.requests = b.requests[:0]
		for c := b.queued.First(); c != nil; c = c.link.Next() {
			b.ask(c)
		}
		s.mu.Unlock()
		b.look = false
		if err = b.send(ctx, false); err != nil {
			err = fmt.Errorf("after the batch: %v", err) // which the session has not outlived for long
		}
	}
	if err != nil {
		return backend.Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lease := b.lease
	if lease.Until.Equal(known) {
		lease.Err = b.trouble
	}
	return lease, nil
}

// compile makes requests of ops. s.mu is held.
func (b *shard) compile(ops []backend.Op, results []backend.Result) {
	b.requests = b.requests[:0]
	for i := range ops {
		op := &ops[i]
		results[i] = backend.Result{State: backend.Unknown}
		c := b.session.claims[op.Owner]
		switch {
		case op.Do == backend.Release && c == nil:
			results[i].State = backend.Released
		case op.Do == backend.Release && c.state == lost && b.old == "":
			results[i].State = c.missing()
			b.session.forget(c)
		case op.Do == backend.Release:
			c.leaving = true
			b.requests = append(b.requests, request{kind: release, claim: c, result: &results[i], code: c.releaseCode()})
		case op.Do != backend.Acquire:
			results[i] = backend.Result{State: backend.Failed, Err: backend.ErrUnsupported}
		case c != nil && c.state == lost:
			results[i] = backend.Result{State: backend.Failed, Err: redislock.ErrLost}
		case c != nil && !c.is(op):
			results[i] = backend.Result{State: backend.Failed, Err: backend.ErrOwner}
		default:
			if err := op.Check(); err != nil {
				results[i] = backend.Result{State: backend.Failed, Err: err}
				continue
			}
			if c == nil && b.session.unfit != nil {
				results[i] = backend.Result{State: backend.Refused, Err: b.session.unfit}
				continue
			}
			if c == nil {
				c = &claim{
					shard: b,
					owner: op.Owner,
					class: op.Class,
					mode:  op.Mode,
					wait:  op.Wait,
					limit: op.Limit,
					name:  op.Name,
					key:   b.base + redislock.Subject(op.Class, op.Name),
					state: asked,
				}
				b.session.claims[op.Owner] = c
				b.claims++
			}
			b.requests = append(b.requests, request{kind: acquire, claim: c, result: &results[i], code: c.acquireCode()})
		}
	}
}

// checks is how many keys a session looks at in a third of its time to live, so that
// what has become of a thousand is known within the whole of it.
const checks = 350

// renew appends requests by which the server says what has become of a share of the
// claims, the next one each time, and which keep their keys from expiring: who holds
// hears that its lock was taken away, and who waits has its place anew. Keys that would
// expire before their turn, as when there suddenly are many more, are looked at besides.
// s.mu is held.
func (b *shard) renew(now time.Time) {
	share := int(min(checks, 1+checks*3*now.Sub(b.beat)/b.session.ttl))
	waiting := min(b.queued.Len(), max(1, share/20))
	n := share - waiting
	for c, urgent := b.held.First(), b.held.Len()/8; c != nil && (n > 0 || urgent > 0 && c.due.Before(now)); c = c.link.Next() {
		if !c.leaving {
			b.requests = append(b.requests, request{kind: touch, claim: c, code: c.touchCode()})
			n--
			urgent--
		}
	}
	n = waiting + max(n, 0)
	for c, urgent := b.queued.First(), b.queued.Len()/8; c != nil && (n > 0 || urgent > 0 && c.due.Before(now)); c = c.link.Next() {
		b.ask(c)
		n--
		urgent--
	}
	if b.session.engine.Horizon == 0 { // Three rounds long.
		b.horizon = max(b.horizon, b.session.ttl*time.Duration(1+(b.held.Len()+b.queued.Len())/checks))
	}
}

// ask appends the Acquire of one who waits, unless it is leaving: behind its Release
// it would come back. s.mu is held.
func (b *shard) ask(c *claim) {
	if !c.leaving {
		b.requests = append(b.requests, request{kind: acquire, claim: c, code: c.acquireCode()})
	}
}

// giveBack releases all claims, those first that wait, and ends the session in
// this shard.
func (b *shard) giveBack(ctx context.Context) error {
	s := b.session
	s.mu.Lock()
	fallen := !b.begun || !time.Now().Before(b.lease.Until)
	b.requests = b.requests[:0]
	for _, waiting := range []bool{true, false} {
		for _, c := range s.claims {
			if c.shard == b && c.state != lost && (c.state != held) == waiting {
				b.requests = append(b.requests, request{kind: release, claim: c, code: c.releaseCode()})
			}
		}
	}
	s.mu.Unlock()
	for from := 0; from < len(b.requests) && !fallen; from += chunk {
		part := b.requests[from:min(from+chunk, len(b.requests))]
		err := insist(ctx, func() (err error) {
			if fallen, err = b.exchange(ctx, part, false); fallen {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	old, left := b.sid, 0
	if !b.begun {
		old = b.old
	}
	if fallen {
		left = 1
	}
	if old == "" {
		return nil
	}
	args := append(sessionScript.Args(nil), 1, b.base+"a:"+old, b.base, old, "",
		s.ttl.Milliseconds(), b.horizon.Milliseconds(), left)
	return insist(ctx, func() error {
		_, err := sessionScript.Call(ctx, s.client, slices.Clone(args))
		return err
	})
}

// insist calls send until it succeeds, a few times: each of the connections that
// wait to be used may have been cut.
func insist(ctx context.Context, send func() error) error {
	for attempt := 1; ; attempt++ {
		if err := send(); err == nil || attempt == conns+2 || ctx.Err() != nil {
			return err
		}
	}
}
