package postgres

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// audit asks which locks the holder session has after a round that failed: of
// what it asked, some was carried out. Locks of a session outlive the transaction
// that failed.
func (s *session) audit(why error) {
	s.why = why
	s.holder.exec(stAudit)
	if err := s.holder.flush(time.Now()); err != nil {
		s.die(err)
	}
}

// A record is a lock as pg_locks has it.
type record struct {
	key    int64
	pair   bool
	shared bool
}

// audited brings the session in line with what it holds at the server. Of the
// round that failed nothing is kept.
func (s *session) audited(r *reply) {
	if r.err != nil {
		if passing(r.err) {
			s.failed = true
			s.audit(s.why)
			return
		}
		s.die(fmt.Errorf("%w, and then %w", s.why, r.err))
		return
	}
	const columns = 3
	has := make(map[record]bool)
	for rows := r.sets[0].rows; len(rows) >= columns; rows = rows[columns:] {
		has[record{rows[0], rows[1] == 2, rows[2] == 1}] = true
	}
	for _, want := range s.records() {
		if !has[want] {
			s.die(fmt.Errorf("%w, and a lock was gone", s.why))
			return
		}
		delete(has, want)
	}
	for _, q := range s.pending {
		for _, leaves := range q.frees() {
			delete(has, leaves)
		}
	}
	s.scrub(has)
	failed := s.round
	s.round = round{}
	for _, asked := range [][]request{failed.many, failed.tickets} {
		for _, q := range asked {
			if passing(s.why) {
				s.retry(q)
			} else {
				s.failure(q, s.why)
			}
		}
	}
	for _, e := range failed.extras {
		e.then(nil)
	}
}

// passing reports whether an error has to do with a statement being cut short,
// and not with what it asked for.
func passing(err error) bool {
	return sqlState(err) == "57014" || sqlState(err) == "55P03" // query_canceled, lock_not_available
}

// frees returns the locks that a request gives back.
func (q *request) frees() []record {
	switch q.kind {
	case unlock:
		if q.lock.tickets != nil {
			return []record{{key: q.grip.slot}}
		}
		return []record{{q.lock.key.value, q.lock.key.pair, q.grip.shared}}
	case leave:
		return []record{{key: q.lock.tickets.use, shared: true}, {key: q.lock.tickets.mark, shared: true}}
	case scrub:
		return []record{{q.key, q.what&ofPair != 0, q.what&^ofPair == unlockShared}}
	}
	return nil
}

// scrub gives back what the holder session has and should not have. Until that is
// done it tries nothing, so that it holds nothing twice, and then it looks again:
// pg_locks does not tell how often it holds a lock.
func (s *session) scrub(stale map[record]bool) {
	// Whoever uses a semaphore has marked its limit.
	uses := make(map[int64]bool)
	for _, l := range s.locks {
		if l.tickets != nil {
			uses[l.tickets.use] = true
		}
	}
	last := func(r record) int {
		if uses[r.key] {
			return 0
		}
		return 1
	}
	order := slices.SortedFunc(maps.Keys(stale), func(a, b record) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.key, b.key))
	})
	var all []request
	for _, r := range order {
		what := int64(unlockAlone)
		if r.shared {
			what = unlockShared
		}
		if r.pair {
			what |= ofPair
		}
		all = append(all, request{kind: scrub, what: what, key: r.key})
	}
	s.scrubs += len(all)
	s.pending = append(all, s.pending...)
}

// records returns the locks that the holder session has by its own account.
func (s *session) records() (all []record) {
	for _, l := range s.locks {
		switch t := l.tickets; {
		case t == nil:
			if l.own != nil {
				all = append(all, record{l.key.value, l.key.pair, l.own.shared})
			}
		default:
			for slot := range t.taken {
				all = append(all, record{key: slot})
			}
			if t.joined {
				all = append(all, record{key: t.use, shared: true}, record{key: t.mark, shared: true})
			}
		}
	}
	return all
}
