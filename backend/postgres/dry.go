package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
)

// A drought is a time in which no token is to be had: somebody has changed the sequence in
// a transaction that goes on. The holder session must not wait for him, for what the client
// holds depends on it. So after the first time-out it asks for nothing that needs a token,
// refuses who wants a lock, and draws tokens apart from all else until it gets one.
type drought struct {
	why     error // nil: there is none
	probing bool
	pause   time.Duration
	due     time.Time // the next probe
}

const (
	probeFirst = 100 * time.Millisecond // between two probes, which are cut off after 10 ms
	probeMost  = time.Second
)

// draws reports whether a request needs a token.
func (q *request) draws() bool { return !q.unlocks() }

// parch begins a drought when a statement that draws tokens has not come to an end for a lock.
func (s *session) parch(asked []request, err *pgconn.PgError) {
	const lockNotAvailable = "55P03"
	if err.Code != lockNotAvailable || !tries(asked) || !s.store.config.tokens {
		return
	}
	s.holder.dry.why = fmt.Errorf("somebody keeps the sequence of the fencing tokens locked, as by ALTER SEQUENCE in a transaction: %w", err)
	s.probe(time.Now())
}

// probe draws a token, if it is time for that.
func (s *session) probe(now time.Time) {
	d := &s.holder.dry
	switch {
	case d.why == nil || d.probing:
		return
	case now.Before(d.due):
		s.rearm(d.due.Sub(now))
		return
	}
	d.probing = true
	s.holder.extras = append(s.holder.extras, extra{pgsql.Probe, nil, func(_ []int64, err *pgconn.PgError) {
		d.probing = false
		if err != nil && cutShort(err) {
			d.pause = min(max(2*d.pause, probeFirst), probeMost)
			d.due = time.Now().Add(d.pause)
			s.rearm(d.pause)
			return
		}
		*d = drought{} // Another error is for who wants a token next.
		s.holder.pending = append(s.holder.pending, s.holder.later...)
		clear(s.holder.later)
		s.holder.later = s.holder.later[:0]
	}})
}

// withhold takes a request that needs a token while there is none to be had. Who has a
// place in the queue keeps it.
func (s *session) withhold(q request) {
	if q.kind == poll || q.kind == land {
		s.holder.later = append(s.holder.later, q)
		s.rearm(probeFirst)
		return
	}
	if q.grip != nil {
		s.unhand(q.grip, nil)
	}
	s.outcome(q, nil, 0, s.holder.dry.why)
}
