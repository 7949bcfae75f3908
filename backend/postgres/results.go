package postgres

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// holderAnswered takes the answer to a round. Its caller has the mutex.
func (s *session) holderAnswered(r *pgwire.Reply) {
	if s.err != nil {
		return
	}
	w := s.holder.conn
	w.Answered(r)
	// What comes after the end of the lease comes too late: some may have been
	// told that they have lost what they held.
	if !s.holder.until.IsZero() && time.Now().After(s.holder.until) {
		s.die(errLapsed)
		return
	}
	s.holder.proved, s.holder.until = w.Sent, w.Sent.Add(s.ttl-s.ttl/100)
	switch {
	case s.holder.failed:
		s.holder.failed = false
		s.reconciled(r)
	default:
		s.takeResults(r)
		if s.err == nil && (s.holder.verify || len(s.holder.broken) > 0) {
			s.holder.verify, s.holder.failed = false, true
			s.reconcile()
		}
	}
	s.pump()
	poke(s.moved)
}

// takeResults takes the answers to the requests of a round.
func (s *session) takeResults(r *pgwire.Reply) {
	sets := r.Sets
	next := func() (first pgwire.Set) {
		if len(sets) > 0 {
			first, sets = sets[0], sets[1:]
		}
		return first
	}
	for _, asked := range [][]request{s.holder.batch.many, s.holder.batch.semaphores} {
		if len(asked) == 0 {
			continue
		}
		answer := next()
		if answer.Err != nil {
			if answer.Err.Code == "26000" { // invalid_sql_statement_name
				s.die(fmt.Errorf("what the session has prepared is gone: %w", answer.Err))
				return
			}
			s.holder.why = answer.Err
			s.parch(asked, answer.Err)
			s.holder.broken = append(s.holder.broken, broken{asked, answer.Err})
			continue
		}
		rows := answer.Rows
		const columns = 3
		if len(rows) != columns*len(asked) {
			s.die(fmt.Errorf("the server answered %d of %d requests", len(rows)/columns, len(asked)))
			return
		}
		for i, q := range asked {
			row := rows[columns*i:]
			if row[2] != s.holder.conn.PID {
				s.die(errPID)
				return
			}
			if !isOrdinal(row[1]) {
				s.die(errAnswer)
				return
			}
			s.takeResult(q, row[0], row[1])
		}
	}
	for _, e := range s.holder.batch.extras {
		answer := next()
		e.then(answer.Rows, answer.Err)
	}
	if len(s.holder.batch.many)+len(s.holder.batch.semaphores)+len(s.holder.batch.extras) == 0 {
		if answer := next(); answer.Err == nil && (len(answer.Rows) != 1 || answer.Rows[0] != s.holder.conn.PID) {
			s.die(errPID)
		}
	}
}

// takeResult takes the answer to a request: a result as in the comments of the
// statements, and the number of a token.
func (s *session) takeResult(q request, result, number int64) {
	if s.err != nil {
		return
	}
	l := q.lock
	switch q.kind {
	case unlock, leave:
		l.unlocking--
		if q.apart {
			s.scrubbed()
		}
		if result != 1 {
			if q.claim != nil {
				q.claim.missing = true
			}
			s.die(fmt.Errorf("the server says that the session did not hold the %v %.80q", l.id.class, l.id.name))
			return
		}
		if q.kind == unlock {
			s.settle(l)
		} else {
			s.forget(l)
		}
		return
	case scrub:
		s.scrubbed()
		return
	}
	g := q.grip
	var err error
	switch {
	case l.slots != nil:
		var again bool
		if g, again, err = s.takeSlot(&q, result); again {
			return
		}
	case result == 1 && g == nil:
		g = &grip{lock: l, shared: q.mode() == backend.Shared, claims: 1}
		l.own = g
	case result != 1 && g != nil:
		s.unhand(g, nil)
		g = nil
	}
	s.outcome(q, g, number, err)
}

// errAnswer says that the answer of a server is none to what it was asked.
var errAnswer = errors.New("malformed answer of the server")

// isOrdinal reports whether an answer can be the number of a token, or 0.
func isOrdinal(n int64) bool { return n >= 0 && n <= backend.MaxOrdinal }

// scrubbed counts an unlock that tries had to wait for.
func (s *session) scrubbed() {
	if s.holder.scrubs--; s.holder.scrubs == 0 {
		s.holder.verify = true
	}
}

// takeSlot returns the slot that a try got, or that it goes on.
func (s *session) takeSlot(q *request, result int64) (g *grip, again bool, err error) {
	t := q.lock.slots
	switch {
	case result == pgwire.Null && !t.joined:
		s.holder.pending = append(s.holder.pending, *q) // Somebody else joins at this moment.
		return nil, true, nil
	case result == -1 && q.denied < 2:
		// A session that ends gives its marks back in any order.
		q.denied++
		s.holder.later = append(s.holder.later, *q)
		s.rearm(slotEvery)
		return nil, true, nil
	case result == -1:
		return nil, false, backend.ErrLimit
	}
	if q.kind != land {
		t.joined = true
	}
	if result <= 0 {
		if q.next < t.limit && q.next > q.from {
			q.from = q.next
			s.holder.pending = append(s.holder.pending, *q)
			return nil, true, nil
		}
		return nil, false, nil
	}
	slots := s.holder.batch.slots[q.slot:]
	if result > int64(len(slots)) {
		s.die(errAnswer)
		return nil, true, nil
	}
	slot := slots[result-1]
	t.taken[slot] = true
	return &grip{lock: q.lock, slot: slot, claims: 1}, false, nil
}

// failure takes the end of a try that the server could not carry out. Nothing is left
// of it.
func (s *session) failure(q request, err error) {
	if cutShort(err) {
		if q.kind != enter && q.grip != nil {
			s.unhand(q.grip, nil)
			q.grip = nil
		}
		s.holder.pending = append(s.holder.pending, q)
		return
	}
	if q.grip != nil {
		s.unhand(q.grip, nil)
	}
	s.outcome(q, nil, 0, err)
}

// outcome takes what came of a try: a grip or nil.
func (s *session) outcome(q request, g *grip, number int64, err error) {
	l := q.lock
	l.deciding--
	switch q.kind {
	case try, enter:
		if errors.Is(err, backend.ErrLimit) {
			q.claim.state = asking
			s.refuseLimit(q.claim)
			break
		}
		s.decided(q.claim, g, number, err)
	case poll:
		q.wait.place = standing
		s.polled(q.wait, g, number, err)
	case land:
		q.wait.place = standing
		s.landed(q.wait, g, number, err)
	}
	s.settle(l)
}

// refuseLimit refuses a claim for a semaphore that others use with another limit.
func (s *session) refuseLimit(c *claim) {
	if c.left {
		c.state = leaving
		s.part(c)
		return
	}
	s.refuse(c, backend.ErrLimit)
}

// admit grants the first claim of a wait what a try got, and lets the readers in
// that came before it was asked for.
func (s *session) admit(w *wait, g *grip, number int64) {
	c := w.claims[0]
	more := 0
	if w.mode == backend.Shared {
		more = min(w.cover, len(w.claims)) - 1
	}
	rest := w.claims[1:]
	s.grant(c, g, number)
	for ; more > 0; more-- {
		c, rest = rest[0], rest[1:]
		c.state = asking
		g.claims++
		w.lock.deciding++
		s.holder.pending = append(s.holder.pending, request{kind: enter, lock: w.lock, claim: c, grip: g})
	}
	w.claims = append(w.claims[:0], rest...)
	w.cover, w.passed, w.nap = 0, 0, 0
}

// polled takes what came of a try on behalf of a wait without a wait session.
func (s *session) polled(w *wait, g *grip, number int64, err error) {
	switch {
	case len(w.claims) == 0:
		if g != nil {
			s.unhand(g, nil)
		}
		s.dissolve(w)
		return
	case g != nil:
		w.cover = len(w.claims)
		s.admit(w, g, number)
	case err != nil:
		s.drop(w, err)
	}
	if len(w.claims) == 0 {
		s.disband(w)
		return
	}
	s.waits.unmet = slices.DeleteFunc(s.waits.unmet, func(other *wait) bool { return other == w })
	s.assign(w)
}

// drop refuses the first claim of a wait.
func (s *session) drop(w *wait, err error) {
	c := w.claims[0]
	w.claims = append(w.claims[:0], w.claims[1:]...)
	if !errors.Is(err, backend.ErrLimit) {
		err = explained(err)
	}
	s.refuse(c, err)
}
