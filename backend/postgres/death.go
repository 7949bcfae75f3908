package postgres

import (
	"github.com/dlock-go/dlock/backend"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// This file says what Apply knows of the releases under way when the session dies. The
// server carries out what it is asked in order, and its answers come in order: what was
// not sent, or has no answer when the server says that it ends the session, came too
// late. Of what was sent before the connection ended without a word nobody knows.

// ended reports whether an error is the server's word that it has ended a session.
// Nothing that it has not answered before was carried out.
func ended(err error) bool {
	code := sqlState(err)
	return code == "57P01" || code == "57P05" // admin_shutdown, idle_session_timeout
}

// died returns what Apply answers when the session has died under it. If it knows of a
// release what became of it, it says so, and the next call tells the death.
func (s *session) died() ([]backend.Result, []backend.Lease, error) {
	fates := s.fates()
	unsure := make(map[uint64]bool)
	known := 0
	s.results = s.results[:0]
	for i := range s.jobs {
		j := &s.jobs[i]
		r := j.result
		switch c := s.claims[j.op.Owner]; {
		case j.op.Do != backend.Release:
			if !j.done || r.State == backend.Granted || r.State == backend.Queued {
				r = backend.Result{}
			}
		case j.done:
		case unsure[j.op.Owner] || c == nil:
		case !j.started && c.granted(), j.first && c.missing:
			r = released(true)
		case j.first:
			r.State = fates[c]
		}
		switch {
		case r.State == 0:
			r = backend.Result{State: backend.Unknown, Err: s.err}
			unsure[j.op.Owner] = true
		case j.op.Do == backend.Release:
			known++
		}
		s.results = append(s.results, r)
	}
	clear(s.jobs)
	if known == 0 {
		return nil, nil, s.err
	}
	return s.results, nil, nil
}

// fates returns what became of the releases that the holder session asked for and that
// were not answered, as far as that is known.
func (s *session) fates() map[*claim]backend.State {
	fates := make(map[*claim]backend.State)
	late := func(asked []request) {
		for _, q := range asked {
			if q.kind == unlock && q.claim != nil {
				fates[q.claim] = backend.NotHeld
			}
		}
	}
	late(s.holder.pending)
	late(s.holder.later)
	if !s.holder.conn.Busy || s.holder.failed {
		return fates
	}
	if s.holder.conn.Mute {
		late(s.holder.batch.many)
		late(s.holder.batch.semaphores)
	} else if ended(s.err) { // Then nobody reads any more.
		late(s.holder.batch.many)
		late(s.holder.batch.semaphores)
		answeredBy(&s.holder.conn.Reply, s.holder.batch.many, s.holder.batch.semaphores, func(q *request, result int64) {
			if q.kind == unlock && q.claim != nil && result == 1 {
				fates[q.claim] = backend.Released
			}
		})
	}
	return fates
}

// answeredBy calls f with each request of the first statements of a pipeline that has
// its answer in a reply that may break off.
func answeredBy(r *pgwire.Reply, many, semaphores []request, f func(q *request, result int64)) {
	const columns = 3
	set := 0
	for _, asked := range [][]request{many, semaphores} {
		if len(asked) == 0 {
			continue
		}
		var rows []int64
		switch {
		case set < len(r.Sets):
			rows = r.Sets[set].Rows
		case set == len(r.Sets):
			rows = r.Rows[r.Begun():]
		}
		for i := 0; i < len(asked) && len(rows) >= columns*(i+1); i++ {
			f(&asked[i], rows[columns*i])
		}
		set++
	}
}
