package quorum

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// A batch is the ops of one Apply. Ops on one lock run in their order, all
// others at the same time.
type batch struct {
	began        time.Time
	ops          []backend.Op
	results      []backend.Result
	acquisitions []*acquisition // by op; nil while it has not begun, or when nothing is awaited
	waiting      int            // ops without an answer
	marks        [maxNodes]uint64
	later        bool            // some ops have not begun
	unknown      map[uint64]bool // owners of whom an op is Unknown: what they ask for later is, too
	leases       []backend.Lease
}

// Apply implements [backend.Session].
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	began := time.Now()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, nil, backend.ErrClosed
	}
	s.batch.began = began
	for _, l := range s.replicas {
		l.settle()
		l.renew()
	}
	s.start(ops, began)
	s.upkeep(began)
	s.stir()
	s.mu.Unlock()

	tick := time.NewTicker(min(50*time.Millisecond, s.ttl/20))
	defer tick.Stop()
	var grace <-chan time.Time // for nodes that a majority has overtaken
	limit := began.Add(s.ttl/3 - s.ttl/50)
	for {
		over, all, err := s.look(time.Now(), limit)
		switch {
		case err != nil:
			return nil, nil, err
		case over && all:
			return s.finish()
		case over && grace == nil:
			grace = time.After(patienceForOthers(time.Since(began)))
		}
		select {
		case <-s.moved:
		case <-tick.C:
		case <-grace:
			return s.finish()
		case <-ctx.Done():
			return s.finish()
		case <-s.done:
		}
	}
}

// patienceForOthers is for how long nodes that answer are waited for after a majority
// took that long: what all of them know saves later attempts, but nobody waits for the
// slowest.
func patienceForOthers(majority time.Duration) time.Duration {
	return min(max(majority, time.Millisecond), 10*time.Millisecond)
}

// start begins a batch. s.mu is held.
func (s *session) start(ops []backend.Op, now time.Time) {
	b := &s.batch
	b.ops = ops
	b.results = append(b.results[:0], make([]backend.Result, len(ops))...)
	b.acquisitions = append(b.acquisitions[:0], make([]*acquisition, len(ops))...)
	b.waiting, b.later = len(ops), len(ops) > 0
	clear(s.deciding)
	clear(b.unknown)
	s.proceed(now)
	s.marks()
}

// marks notes what has been asked of the nodes by now.
func (s *session) marks() {
	for i, l := range s.replicas {
		s.batch.marks[i] = l.asked
	}
}

// proceed begins the ops that can begin. s.mu is held.
func (s *session) proceed(now time.Time) {
	q := &s.batch
	if !q.later {
		return
	}
	q.later = false
	var behind map[string]bool // locks with an op that has not begun
	for i := range q.ops {
		op := &q.ops[i]
		if q.acquisitions[i] != nil || q.results[i].State != 0 {
			continue
		}
		b := s.acquisitions[op.Owner]
		lock := string(rune(op.Class)) + op.Name
		if behind[lock] || op.Do == backend.Release && b != nil && s.deciding[b] {
			// A Release takes effect after its Acquire, whose outcome is to be told.
			if behind == nil {
				behind = make(map[string]bool)
			}
			behind[lock], q.later = true, true
			continue
		}
		switch {
		case q.unknown[op.Owner]:
			q.results[i] = backend.Result{State: backend.Unknown}
		case op.Do == backend.Acquire:
			q.acquisitions[i], q.results[i] = s.acquire(op, now)
		case op.Do == backend.Release:
			q.acquisitions[i], q.results[i] = s.release(b, now)
		default:
			q.results[i] = backend.Result{State: backend.Failed, Err: backend.ErrUnsupported}
		}
		if q.results[i].State != 0 {
			q.waiting--
		}
	}
}

// acquire begins an Acquire, or finds out what has become of it.
func (s *session) acquire(op *backend.Op, now time.Time) (*acquisition, backend.Result) {
	if err := op.Check(); err != nil {
		return nil, backend.Result{State: backend.Failed, Err: err}
	}
	b := s.acquisitions[op.Owner]
	switch {
	case b == nil:
		b = newBid(op, len(s.replicas), now)
		s.acquisitions[op.Owner] = b
		s.rota.push(b)
		s.attempt(b, now)
	case b.op.Class != op.Class || b.op.Name != op.Name || b.op.Mode != op.Mode || b.op.Limit != op.Limit:
		return nil, backend.Result{State: backend.Failed, Err: backend.ErrOwner}
	case b.state == bidWaiting && now.Sub(b.polled) > PollEvery, b.state == bidWaiting && !b.enlisted && b.due.IsZero():
		s.attempt(b, now)
	}
	s.deciding[b] = true
	return b, backend.Result{}
}

// release begins a Release.
func (s *session) release(b *acquisition, now time.Time) (*acquisition, backend.Result) {
	if b == nil {
		return nil, backend.Result{State: backend.Released}
	}
	if b.state != bidFreeing {
		if b.footing != nil {
			s.prove(b, now)
			b.footing.holders--
		}
		b.state, b.due = bidFreeing, time.Time{}
		s.rota.remove(b)
	}
	s.giveBack(b)
	return b, backend.Result{}
}

// look decides the ops that can be decided by now, and all at the limit. over tells
// that none is left, all that every node that answers has answered.
func (s *session) look(now, limit time.Time) (over, all bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, false, backend.ErrClosed
	}
	q := &s.batch
	late := !now.Before(limit)
	for progress := true; progress; {
		progress = false
		for i, b := range q.acquisitions {
			if b == nil || q.results[i].State != 0 {
				continue
			}
			if s.deciding[b] {
				s.weigh(b, now)
			}
			r, ok := s.result(&q.ops[i], b, now, late)
			if !ok {
				continue
			}
			q.results[i] = r
			q.waiting--
			progress = true
			if r.State == backend.Unknown {
				if q.unknown == nil {
					q.unknown = make(map[uint64]bool)
				}
				q.unknown[b.op.Owner] = true
			}
			if q.ops[i].Do == backend.Acquire {
				delete(s.deciding, b)
			}
		}
		if progress && q.later {
			s.proceed(now)
			s.marks()
		}
	}
	s.stirAlarm()
	beaten := 0
	all = true
	for i, l := range s.replicas {
		switch {
		case l.answered >= q.marks[i]:
			beaten++
		case !l.silent(now):
			all = false
		}
	}
	over = late || q.waiting == 0 && (all || beaten >= s.majority)
	// Who acquires does not wait for more than he needs.
	return over, all || late || len(q.ops) > 0 && !q.releases(), nil
}

// releases reports whether there is a Release in the batch.
func (q *batch) releases() bool {
	for i := range q.ops {
		if q.ops[i].Do == backend.Release {
			return true
		}
	}
	return false
}

// result returns the answer to an op, if there is one.
func (s *session) result(op *backend.Op, b *acquisition, now time.Time, late bool) (backend.Result, bool) {
	if op.Do == backend.Release {
		r, ok := s.freed(b, now, late)
		if ok && (r.State == backend.Released || r.State == backend.NotHeld) {
			delete(s.acquisitions, op.Owner)
		}
		return r, ok
	}
	switch b.state {
	case bidHolding:
		switch ended := b.footing.ended(now); {
		case b.lost:
			b.footing.holders--
			s.end(b, backend.Result{}, now)
			delete(s.acquisitions, op.Owner)
			return backend.Result{State: backend.Failed, Err: redislock.ErrLost}, true
		case ended && b.fresh: // Nobody has been told of it.
			b.footing.holders--
			b.state, b.footing = bidAsking, nil
			s.weigh(b, now)
			return backend.Result{}, false
		case ended:
			b.footing.holders--
			s.end(b, backend.Result{}, now)
			delete(s.acquisitions, op.Owner)
			return backend.Result{State: backend.Failed, Err: redislock.ErrDeadline}, true
		}
		return backend.Result{State: backend.Granted, Grant: s.grant(b, now)}, true
	case bidRefused:
		delete(s.acquisitions, op.Owner)
		return b.result, true
	case bidFreeing: // An Acquire behind the Release of its owner.
		return backend.Result{State: backend.Failed, Err: backend.ErrOwner}, true
	}
	switch {
	case b.enlisted && b.op.Wait && (b.state == bidWaiting || b.round > 1):
		return backend.Result{State: backend.Queued}, true
	case b.stuck && b.refusal != nil:
		return backend.Result{State: backend.Refused, Err: b.refusal}, true
	case b.stuck:
		why := s.errLines()
		switch refusing, decisive := s.refusing(); {
		case decisive && redislock.Lasting(why):
			s.end(b, backend.Result{State: backend.Failed, Err: why}, now)
			delete(s.acquisitions, op.Owner)
			return b.result, true
		case refusing:
			return backend.Result{State: backend.Refused, Err: why}, true
		}
		return backend.Result{State: backend.Unknown, Err: why}, true
	}
	return backend.Result{}, false
}

// refusing reports whether there would be a majority if no node refused to serve, and
// whether those that are denied to the session alone keep it from having one.
func (s *session) refusing() (refusing, decisive bool) {
	up, refuse, deny := 0, 0, 0
	for _, l := range s.replicas {
		switch why := redisconn.Refusal(l.err); {
		case l.state == lineUp:
			up++
		case why != nil:
			refuse++
			if redislock.Lasting(why) {
				deny++
			}
		}
	}
	return up < s.majority && up+refuse >= s.majority, deny > len(s.replicas)-s.majority
}

// errLines tells why too few nodes answer. s.mu is held.
func (s *session) errLines() error {
	var why []error
	for _, l := range s.replicas {
		why = append(why, l.why())
	}
	return s.quorum.errNodes(why)
}

// finish returns the answers of the batch; what has none is Unknown.
func (s *session) finish() ([]backend.Result, []backend.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, backend.ErrClosed
	}
	q := &s.batch
	for i := range q.results {
		switch r := &q.results[i]; r.State {
		case 0:
			r.State = backend.Unknown
		case backend.Granted:
			r.Grant.Lease = q.acquisitions[i].footing.lease() // It was renewed meanwhile, perhaps.
		}
	}
	clear(s.deciding)
	clear(q.acquisitions)
	q.leases = s.due(q.leases[:0], time.Now())
	return q.results, q.leases, nil
}
