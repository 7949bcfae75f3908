package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// Apply implements [backend.Session].
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(s.err, backend.ErrClosed):
		return nil, nil, s.err
	case s.err != nil:
		return nil, nil, fmt.Errorf("%w: %w", backend.ErrSessionOver, s.err) // Nothing of ops was sent.
	}
	now := time.Now()
	s.jobs = slices.Grow(s.jobs[:0], len(ops))[:len(ops)]
	for i := range ops {
		s.jobs[i] = job{op: &ops[i]}
	}
	if len(ops) == 0 || now.Sub(s.holder.conn.Sent) > s.ttl/6 {
		s.holder.beat = true
	}
	s.tend(now)
	s.attend(true)
	late := s.work(ctx, now)
	s.pump()
	s.attend(false)
	s.dismiss()
	if s.err == nil && !s.holder.until.IsZero() && time.Now().After(s.holder.until) {
		s.die(errLapsed)
	}
	if s.err != nil {
		return s.died()
	}
	late = late || time.Since(now) >= s.ttl/3
	var silent error
	if late && s.holder.proved.Before(now) {
		silent = fmt.Errorf("the server has not answered within %v", time.Since(now).Round(time.Millisecond))
	}
	s.answer(silent)
	clear(s.jobs)
	s.report(silent)
	return s.results, s.leases, nil
}

// work goes on with the jobs of an Apply that began at now until they are done, or have
// had their time, which is late if that was all there is. Without jobs it is there for
// what the holder session has to say.
func (s *session) work(ctx context.Context, now time.Time) (late bool) {
	defer s.timer.Stop()
	for {
		left, slow := s.advance()
		patience := s.ttl / 3
		if !s.holder.beat && (len(s.jobs) > 0 || !s.holder.proved.Before(now)) {
			if left == 0 {
				return late
			}
			if left == slow {
				patience = min(patience, s.straggle())
			}
		}
		if late || s.err != nil || time.Since(now) >= patience {
			return late
		}
		s.pump()
		if s.holder.conn.Busy && !s.holder.reading && s.holder.attentive {
			s.attend(s.readInline())
			late = ctx.Err() != nil || time.Since(now) > s.ttl/3
			continue
		}
		s.mu.Unlock()
		s.timer.Reset(patience - time.Since(now))
		select {
		case <-s.moved:
		case <-s.timer.C:
			late = time.Since(now) >= s.ttl/3
		case <-ctx.Done():
			late = true
		case <-s.life.Done():
		}
		s.mu.Lock()
	}
}

// answer gives each op its result; silent is why there are some without an answer.
func (s *session) answer(silent error) {
	s.results = s.results[:0]
	for i := range s.jobs {
		j := &s.jobs[i]
		switch {
		case !j.done && j.slow && silent == nil:
			j.result = backend.Result{State: backend.Unknown, Err: errWithdrawing}
		case !j.done:
			j.result = backend.Result{State: backend.Unknown, Err: silent}
		case j.result.State == backend.Granted:
			j.result.Grant = backend.Grant{Lease: s.terms(j.claim.grip.waiter), Ordinal: j.claim.ordinal}
		}
		s.results = append(s.results, j.result)
	}
}

// straggle returns how long Apply waits for the end of waits when nothing else is to be
// waited for: the server ends them at its leisure, and others want to be served.
func (s *session) straggle() time.Duration {
	slow := 0
	for i := range s.jobs {
		j := &s.jobs[i]
		switch {
		case j.done || !j.slow:
		case !j.again:
			return 50 * time.Millisecond
		default:
			slow++
		}
	}
	if slow < len(s.jobs) {
		return 0
	}
	return 50 * time.Millisecond
}

var errWithdrawing = errors.New("the server has not ended a wait yet")

// report lists the leases that are new, and those that the server has not renewed;
// silent is why not that of the holder session.
func (s *session) report(silent error) {
	s.leases = s.leases[:0]
	switch {
	case s.holder.until.After(s.holder.told):
		s.holder.told = s.holder.until
		s.leases = append(s.leases, s.terms(nil))
	case silent != nil && !s.holder.until.IsZero():
		s.leases = append(s.leases, backend.Lease{ID: holderLease, Until: s.holder.until, Err: silent})
	}
	for _, wt := range s.waits.all {
		switch {
		case wt.step != keeper:
		case wt.until.After(wt.told):
			wt.told = wt.until
			s.leases = append(s.leases, s.terms(wt))
		case wt.wire.Busy && time.Since(wt.wire.Sent) > s.ttl/3:
			silent := fmt.Errorf("the connection that holds it has not answered within %v", time.Since(wt.wire.Sent).Round(time.Millisecond))
			s.leases = append(s.leases, backend.Lease{ID: wt.lease, Until: wt.until, Err: silent})
		}
	}
}

// terms returns the lease of a wait session, or of the holder session.
func (s *session) terms(wt *waitConn) backend.Lease {
	if wt != nil {
		return backend.Lease{ID: wt.lease, Until: wt.until}
	}
	return backend.Lease{ID: holderLease, Until: s.holder.until}
}
