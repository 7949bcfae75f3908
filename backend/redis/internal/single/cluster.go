package single

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A part is what a shard of a cluster has to do with one Apply. It is the
// sender's while it runs, and else Apply's.
type part struct {
	ops     []backend.Op
	at      []int // of ops, in the ops of Apply
	results []backend.Result
	lease   backend.Lease
	fell    bool // the lease has fallen
	running bool // until its shard came by session.finished
	began   time.Time
	past    bool // it was begun by an Apply that has returned
	slow    bool // it had no answer the last time
}

// spread applies ops on a cluster: in each shard for itself and at the same time.
// It does not wait for a node that is much slower than the others; what that one
// answers later only counts as news.
func (s *session) spread(ctx context.Context, ops []backend.Op) error {
	defer context.AfterFunc(ctx, s.wire.Cut)()
	s.divide(ops)
	began := time.Now()
	var quick, slow int // those under way
	for _, b := range s.inUse() {
		p := &b.part
		if p.running || len(p.ops) == 0 && !b.due(began, len(ops) == 0) {
			continue
		}
		if p.slow {
			slow++
		} else {
			quick++
		}
		s.start(b)
	}
	s.gather(ctx, began, quick, slow)
	return nil
}

// divide gives each shard its part of ops. Those of a shard that is at work still are
// not sent.
func (s *session) divide(ops []backend.Op) {
	for i := range ops {
		s.results[i] = backend.Result{State: backend.Unknown, Err: redislock.ErrStraggler}
	}
	for b := s.straggler(); b != nil; b = s.straggler() {
		s.finish(b)
	}
	for _, b := range s.inUse() {
		if !b.part.running {
			b.part.ops, b.part.at = b.part.ops[:0], b.part.at[:0]
		}
	}
	for i := range ops {
		b := s.shard(s.engine.place(ops[i].Class, ops[i].Name))
		if !b.part.running {
			b.part.ops, b.part.at = append(b.part.ops, ops[i]), append(b.part.at, i)
		}
	}
}

// gather waits for the parts that have been sent: quick of them to nodes that answered
// the last time, and slow to others.
func (s *session) gather(ctx context.Context, began time.Time, quick, slow int) {
	most := s.patience
	if quick == 0 {
		most = grace
	}
	late := time.NewTimer(most)
	defer late.Stop()
	for quick+slow > 0 {
		select {
		case b := <-s.finished:
			switch {
			case b.part.past:
			case b.part.slow:
				slow--
			default:
				if quick--; quick > 0 {
					late.Reset(max(grace, s.ttl/20, 4*time.Since(began)))
				} else {
					late.Reset(grace)
				}
			}
			s.finish(b)
			continue
		case <-late.C:
		case <-ctx.Done():
		}
		break
	}
	for _, b := range s.inUse() {
		if b.part.running {
			b.part.past, b.part.slow = true, true
			s.late(b)
		}
	}
}

// grace is for how long Apply waits for a node that was slow before, when the
// others have answered.
const grace = 50 * time.Millisecond

// inUse returns the shards of the session.
func (s *session) inUse() []*shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*shard
	for _, b := range s.shards {
		if b != nil {
			all = append(all, b)
		}
	}
	return all
}

// straggler returns a shard that has finished since Apply gave up waiting, or nil.
func (s *session) straggler() *shard {
	select {
	case b := <-s.finished:
		return b
	default:
		return nil
	}
}

// start has a shard send its part.
func (s *session) start(b *shard) {
	b.part.running, b.part.past, b.part.began = true, false, time.Now()
	s.running.Add(1)
	go s.run(b)
}

func (s *session) run(b *shard) {
	defer s.running.Done()
	patience := s.patience
	if !b.begun {
		patience = s.ttl // There is more to send, and no lease that is to be renewed.
	}
	ctx, cancel := context.WithTimeout(s.life, patience)
	defer cancel()
	p := &b.part
	p.results = append(p.results[:0], make([]backend.Result, len(p.ops))...)
	for i := range p.results {
		p.results[i].State = backend.Unknown
	}
	var err error
	p.lease, err = b.apply(ctx, p.ops, p.results)
	if p.fell = err != nil; p.fell {
		b.fall(err)
		for i := range p.results {
			if p.results[i].State == backend.Unknown {
				p.results[i].Err = err
			}
		}
	}
	s.finished <- b // There is room for every shard.
}

// finish takes the outcome of a part, and its results if the Apply that began it
// is there to return them.
func (s *session) finish(b *shard) {
	p := &b.part
	p.running = false
	if !p.lease.Until.IsZero() {
		s.leases = append(s.leases, p.lease)
	}
	p.slow = p.fell || p.lease.Err != nil && redisconn.Refusal(p.lease.Err) == nil
	for i, at := range p.at {
		if !p.past {
			s.results[at] = p.results[i]
		}
		p.slow = p.slow || p.results[i].State == backend.Unknown
	}
}

// late reports the lease of a shard that has had no answer for long.
func (s *session) late(b *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.claims > 0 && !b.lease.Until.IsZero() && time.Since(b.part.began) > s.ttl/6 {
		lease := b.lease
		lease.Err = redislock.ErrStraggler
		s.leases = append(s.leases, lease)
	}
}

// due reports whether the lease has to be renewed though there are no ops. A
// shard without claims is left to lapse.
func (b *shard) due(now time.Time, beat bool) bool {
	b.session.mu.Lock()
	defer b.session.mu.Unlock()
	return b.begun && b.claims > 0 && (beat || now.Sub(b.beat) >= min(time.Second, b.session.ttl/12))
}

// fall gives up a lease that is lost: its holds are, and who waits has to ask
// again, in a new one.
func (b *shard) fall(why error) {
	s := b.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.begun {
		b.old = b.sid
	}
	b.rename(b.lease.ID + shards)
	for b.held.First() != nil {
		b.lose(b.held.First(), why)
	}
	for c := b.queued.First(); c != nil; c = b.queued.First() {
		c.link.Remove()
		c.state = asked
		s.mail.Send(backend.Event{Kind: backend.EventTurn, Owner: c.owner})
	}
}
