package quorum

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// Apply implements [backend.Session].
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	began := time.Now()
	if err := s.start(ops, began); err != nil {
		return nil, nil, err
	}
	tick := time.NewTicker(min(50*time.Millisecond, s.ttl/20))
	defer tick.Stop()
	var grace <-chan time.Time // for nodes that a majority has overtaken
	limit := began.Add(s.ttl/3 - s.ttl/50)
	for {
		over, all, err := s.look(limit)
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

func (s *session) start(ops []backend.Op, now time.Time) error {
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return backend.ErrClosed
	}
	s.votes.Start(ops, now)
	return nil
}

// look decides what can be decided. over tells that all ops have their answers, all that
// no other answer is worth waiting for.
func (s *session) look(limit time.Time) (over, all bool, err error) {
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return false, false, backend.ErrClosed
	}
	over, all = s.votes.Look(time.Now(), limit)
	return over, all, nil
}

// finish returns the answers of the batch; what has none is Unknown.
func (s *session) finish() ([]backend.Result, []backend.Lease, error) {
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return nil, nil, backend.ErrClosed
	}
	results, leases := s.votes.Finish(time.Now())
	return results, leases, nil
}
