package single

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A request is a line of a batch.
type request struct {
	kind   requestKind
	claim  *claim
	result *backend.Result // to be set, or nil
	code   string
	again  bool // one that was sent before may have taken effect
}

type requestKind uint8

const (
	acquire requestKind = iota + 1
	release
	touch
)

// chunk bounds a batch: the server serves nobody else while it runs.
const chunk = 1024

// Answers of batch.lua. Others are ordinals, of grants that are contended negative
// ones; a text says why an op failed.
const (
	busy       = int64(0)
	waits      = int64(1)
	freed      = int64(2)
	touched    = int64(3)
	gone       = int64(4) // there was nothing to release or to touch
	lapsed     = int64(-1)
	late       = int64(-2)
	rolledBack = int64(-3)
	wrongLimit = "LIMIT"
	leftBehind = "LEFT " // before why an Acquire failed that could not be undone
	unchanged  = "KEPT " // likewise, and it has done nothing that was not done before
)

var (
	errLapsed   = fmt.Errorf("%w: it has lapsed at the server, or its data was lost", backend.ErrSessionOver)
	errRuptured = errors.New("the server has lost writes that it had acknowledged")
	errLate     = errors.New("overtaken by a later batch")
	errAnswer   = errors.New("malformed answer of the server")
)

// send sends the requests in batches until one is not answered. The results of
// the others remain Unknown, with the reason. An error says that the lease has
// fallen.
func (b *shard) send(ctx context.Context, beat bool) error {
	var failed error
	if !b.begun {
		failed = b.begin(ctx)
	}
	for from := 0; failed == nil && (from < len(b.requests) || from == 0 && beat); from += chunk {
		requests := b.requests[min(from, len(b.requests)):min(from+chunk, len(b.requests))]
		fell, err := b.exchange(ctx, requests, beat && from == 0)
		switch {
		case fell && from > 0:
			return fmt.Errorf("in the middle of a batch: %v", err) // Some ops were run before.
		case fell:
			return err
		}
		failed = err
	}
	if failed != nil {
		b.look = true // It may have been about that.
		why := redisconn.Refusal(failed)
		b.trouble = cmp.Or(why, failed)
		b.session.mu.Lock()
		for i := range b.requests {
			if r := &b.requests[i]; r.result != nil && r.result.State == backend.Unknown {
				if r.result.Err = failed; why != nil {
					b.refuse(r, why)
				}
			}
		}
		past := b.begun && !time.Now().Before(b.lease.Until)
		b.session.mu.Unlock()
		if past {
			return fmt.Errorf("%w: %w", redislock.ErrDeadline, failed)
		}
	}
	return nil
}

// exchange runs one batch. fell says that the lease has fallen. With an error
// and the lease standing the outcome is unknown.
func (b *shard) exchange(ctx context.Context, requests []request, beat bool) (fell bool, err error) {
	s := b.session
	b.batch++
	s.mu.Lock()
	received := b.received
	for i := range requests {
		requests[i].send()
	}
	s.mu.Unlock()
	b.args = b.arguments(requests, beat, received)
	before := time.Now()
	v, err := b.call(ctx, batchScript, b.args)
	clear(b.args)
	if err != nil {
		if c, ok := s.client.(*redis.ClusterClient); ok {
			c.ReloadState(ctx) // Another node may have taken over.
		}
		err = redisconn.Reason(ctx, err)
		// A cluster's client repeats what had no answer, so what it was refused in the
		// end may have been done before, unless it is never allowed.
		if why := redisconn.Refusal(err); why != nil && (s.engine.node.Cluster == nil || redislock.Lasting(why)) {
			b.unsend(requests)
		}
		return false, err
	}
	answers, _ := v.([]any)
	if len(answers) == 1 {
		switch answers[0] {
		case lapsed:
			b.unsend(requests)
			return true, errLapsed
		case rolledBack:
			b.unsend(requests)
			return true, errRuptured
		case late:
			return false, errLate
		}
	}
	if len(answers) != 1+len(requests) {
		return false, fmt.Errorf("malformed answer of %d parts to %d requests: %.100q", len(answers), len(requests), fmt.Sprint(v))
	}
	b.answered = b.batch
	s.mu.Lock()
	defer s.mu.Unlock()
	if !time.Now().Before(b.lease.Until) {
		return true, redislock.ErrDeadline // Whoever looked in the meantime has found it dead.
	}
	b.lease.Until = before.Add(s.ttl - redislock.Drift(s.ttl))
	if beat {
		b.beat, b.acked = before, received
		b.news(answers[0])
	}
	for i := range requests {
		b.answer(&requests[i], answers[i+1], before)
	}
	return false, nil
}

// call runs a script. Connections that the server or a proxy has closed meanwhile, as
// they do with idle ones, are replaced at once: all that there are. A batch that was run
// all the same is not run again.
func (b *shard) call(ctx context.Context, script *redisconn.Script, args []any) (any, error) {
	for attempt := 1; ; attempt++ {
		v, err := script.Call(ctx, b.session.client, args)
		if err == nil || attempt > conns || !redisconn.Broken(err) || ctx.Err() != nil {
			return v, err
		}
	}
}

// send notes that r is being sent. s.mu is held.
func (r *request) send() {
	switch r.kind {
	case acquire:
		r.again, r.claim.asking = r.claim.asking, true
	case release:
		r.again, r.claim.freeing = r.claim.freeing, true
	}
}

// unsend takes the word of the server that it has done nothing of a batch.
func (b *shard) unsend(requests []request) {
	b.session.mu.Lock()
	defer b.session.mu.Unlock()
	for i := range requests {
		switch r := &requests[i]; r.kind {
		case acquire:
			r.claim.asking = r.again
		case release:
			r.claim.freeing = r.again
		}
	}
}

// arguments returns the command of a batch.
func (b *shard) arguments(requests []request, beat bool, received uint64) []any {
	s := b.session
	args := batchScript.Args(b.args[:0])
	keys := 1 + len(requests)
	cluster := s.engine.node.Cluster != nil
	if cluster {
		keys++
	}
	args = append(args, keys, b.base+"a:"+b.sid)
	for i := range requests {
		args = append(args, requests[i].claim.key)
	}
	if cluster {
		args = append(args, b.base+"x")
	}
	channels := ""
	if cluster {
		channels = s.engine.prefix
	}
	args = append(args, b.base, b.sid, b.batch, b.answered, s.ttl.Milliseconds(), b.horizon.Milliseconds(), channels)
	if beat {
		args = append(args, "h", b.acked, received)
	} else {
		args = append(args, "")
	}
	for i := range requests {
		r := &requests[i]
		args = append(args, r.code, r.claim.owner)
		if r.kind == acquire && r.claim.class == backend.Semaphore {
			args = append(args, r.claim.limit)
		}
	}
	return args
}
