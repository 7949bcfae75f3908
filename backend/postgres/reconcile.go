package postgres

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// A broken is a statement of a round that failed, and what it asked for.
type broken struct {
	asked []request
	why   error
}

// reconcile asks which locks the holder session has after a statement that failed: of
// what it asked, some was carried out. Locks of a session outlive the transaction
// that failed.
func (s *session) reconcile() {
	s.holder.conn.Exec(pgsql.Reconcile)
	if err := s.holder.conn.Flush(time.Now()); err != nil {
		s.die(err)
	}
}

// A record is a lock as pg_locks has it.
type record struct {
	key    int64
	pair   bool
	shared bool
}

// reconciled brings the session in line with what it holds at the server. Of the tries
// that failed nothing is kept.
func (s *session) reconciled(r *pgwire.Reply) {
	if r.Err != nil {
		if cutShort(r.Err) {
			s.holder.failed = true
			s.reconcile()
			return
		}
		s.die(fmt.Errorf("%w, and then %w", s.holder.why, r.Err))
		return
	}
	if len(r.Sets) != 1 {
		s.die(errAnswer)
		return
	}
	const columns = 3
	has := make(map[record]bool)
	for rows := r.Sets[0].Rows; len(rows) >= columns; rows = rows[columns:] {
		has[record{rows[0], rows[1] == 2, rows[2] == 1}] = true
	}
	for _, want := range append(s.records(), s.marker.record()) {
		if !has[want] {
			s.die(fmt.Errorf("%w, and a lock was gone", s.holder.why))
			return
		}
		delete(has, want)
	}
	all := s.holder.broken
	s.holder.broken, s.holder.batch = nil, batch{}
	for _, b := range all {
		s.reconcileUnlocks(b, has)
	}
	for _, waiting := range [][]request{s.holder.pending, s.holder.later} {
		for _, q := range waiting {
			for _, leaves := range q.frees() {
				delete(has, leaves)
			}
		}
	}
	s.scrub(has)
	for _, b := range all {
		for _, q := range b.asked {
			if !q.unlocks() {
				s.failure(q, b.why)
			}
		}
	}
}

// reconcileUnlocks sees to the unlocks of a statement that failed. has is what the session
// holds and does not know of.
func (s *session) reconcileUnlocks(b broken, has map[record]bool) {
	tried := tries(b.asked)
	for _, q := range b.asked {
		if !q.unlocks() {
			continue
		}
		held := 0
		for _, leaves := range q.frees() {
			if has[leaves] {
				held++
			}
		}
		switch {
		case held < len(q.frees()):
			s.takeResult(q, 1, 0) // It was carried out. What is left of it is scrubbed.
		case tried || cutShort(b.why):
			s.again(q)
		default:
			for _, keeps := range q.frees() {
				delete(has, keeps)
			}
			s.refuseUnlock(q, b.why)
		}
	}
}

// again has an unlock done again, before anything is tried.
func (s *session) again(q request) {
	if q.kind != scrub && !q.apart {
		q.apart = true
		s.holder.scrubs++
	}
	s.holder.pending = append(s.holder.pending, q)
}

// refuseUnlock takes the server's refusal to unlock something. What it was to free
// for a release is held as before, and that is refused; else it is asked for again
// later.
func (s *session) refuseUnlock(q request, why error) {
	c, g, l := q.claim, q.grip, q.lock
	if c == nil {
		s.holder.later = append(s.holder.later, q)
		s.rearm(pauseFor)
		return
	}
	if q.apart {
		s.scrubbed()
	}
	c.state, c.grip, c.err = held, g, explained(why)
	g.claims++
	if l.slots != nil {
		l.slots.taken[g.slot] = true
	} else {
		l.own = g
	}
	s.active++
	l.users++
	l.holders++
	l.shared = g.shared
	l.unlocking--
}

// unlocks reports whether a request gives something back.
func (q *request) unlocks() bool { return q.kind == unlock || q.kind == leave || q.kind == scrub }

// frees returns the locks that a request gives back.
func (q *request) frees() []record {
	switch q.kind {
	case unlock:
		if q.lock.slots != nil {
			return []record{{key: q.grip.slot}}
		}
		return []record{{q.lock.key.value, q.lock.key.pair, q.grip.shared}}
	case leave:
		return []record{{key: q.lock.slots.use, shared: true}, {key: q.lock.slots.mark, shared: true}}
	case scrub:
		return []record{{q.key, q.what&pgsql.OfPair != 0, q.what&^pgsql.OfPair == pgsql.FreeShared}}
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
		if l.slots != nil {
			uses[l.slots.use] = true
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
		what := int64(pgsql.FreeAlone)
		if r.shared {
			what = pgsql.FreeShared
		}
		if r.pair {
			what |= pgsql.OfPair
		}
		all = append(all, request{kind: scrub, what: what, key: r.key})
	}
	s.holder.scrubs += len(all)
	s.holder.pending = append(all, s.holder.pending...)
}

// records returns the locks that the holder session has by its own account.
func (s *session) records() (all []record) {
	for _, l := range s.locks {
		switch t := l.slots; {
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
