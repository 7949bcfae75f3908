package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// A request is something that the holder session is to ask the server.
type request struct {
	kind  requestKind
	lock  *lock
	claim *claim // of try and enter; of unlock, whose release asks for it, or nil
	wait  *wait  // of poll and land
	grip  *grip  // of unlock, or that a reader comes into
	what  int64  // of scrub
	key   int64  // of scrub
	from  uint32 // of a try for a slot: slots tried before
	next  uint32 // and with it
	slot  int    // where its candidates begin in round.slots

	denied uint8 // how often others seemed to have another limit
	apart  bool  // an unlock that has failed together with others, and is done before anything is tried
}

type requestKind uint8

const (
	try    requestKind = iota + 1 // of a claim
	poll                          // a try, for a wait that has no wait session
	land                          // a try behind the gate, which a wait session has taken
	enter                         // a token for a reader who comes in with another
	unlock                        // of a grip
	leave                         // a semaphore
	scrub                         // an unlock of what nobody knows of
)

// A batch is what the holder session has asked and not been answered yet. It goes
// out as one pipeline: statements for many requests each, and extras. Each statement
// is a part of its own, so that one that fails says nothing about the others.
type batch struct {
	many       []request
	semaphores []request
	extras     []extra
	slots      []int64 // to try, of all semaphores

	// The parameters.
	whats, keys, gates      []int64
	what, gate              []int64 // of semaphores
	join, use, mark, unlock []int64
	first, last             []int64
	buf                     []byte
}

// An extra is a statement of its own.
type extra struct {
	statement string
	params    [][]byte
	then      func(rows []int64, err *pgconn.PgError) // with nil rows if it has failed; that does not matter to others
}

// pids is the parameters of an extra about backends.
func pids(all []int64) [][]byte { return [][]byte{pgwire.AppendArray(nil, pgwire.OIDInt4, all)} }

// most bounds a round, so that it fits into the buffers of a socket.
const most = 1000

// pump sends the next round, if there is something to ask and the last has been
// answered.
func (s *session) pump() {
	if s.err != nil || s.holder.conn.Busy {
		return
	}
	now := time.Now()
	r := &s.holder.batch
	r.reset()
	s.holder.rounds++
	kept := 0
	for i := 0; i < len(s.holder.pending); i++ { // It may grow.
		q := s.holder.pending[i]
		if s.holder.dry.why != nil && q.draws() {
			s.withhold(q)
			continue
		}
		if len(r.many)+len(r.semaphores) >= most || len(r.slots) >= 4*most || !s.put(q) {
			s.holder.pending[kept] = q
			kept++
		}
	}
	clear(s.holder.pending[kept:])
	s.holder.pending = s.holder.pending[:kept]
	r.extras = append(r.extras, s.holder.extras...)
	clear(s.holder.extras)
	s.holder.extras = s.holder.extras[:0]
	if len(r.many)+len(r.semaphores)+len(r.extras) == 0 {
		if !s.holder.beat {
			return
		}
		s.holder.conn.Exec(pgsql.Ping)
	}
	s.holder.beat = false
	r.encode(s.holder.conn)
	if err := s.holder.conn.Flush(now); err != nil {
		s.die(err)
	}
	s.attend(s.holder.attentive)
}

func (r *batch) reset() {
	clear(r.many)
	clear(r.semaphores)
	clear(r.extras)
	r.many, r.semaphores, r.extras = r.many[:0], r.semaphores[:0], r.extras[:0]
	r.slots, r.buf = r.slots[:0], r.buf[:0]
	for _, column := range []*[]int64{&r.whats, &r.keys, &r.gates, &r.what, &r.gate, &r.join, &r.use, &r.mark, &r.unlock, &r.first, &r.last} {
		*column = (*column)[:0]
	}
}

func (r *batch) encode(w *pgwire.Conn) {
	parts := 0
	part := func() {
		if parts++; parts > 1 {
			w.Divide()
		}
	}
	if len(r.many) > 0 {
		part()
	}
	switch len(r.many) {
	case 0:
	case 1:
		r.buf = pgwire.AppendInt(pgwire.AppendInt(r.buf, pgwire.OIDInt8, r.keys[0]), pgwire.OIDInt8, r.gates[0])
		w.Exec(pgsql.One(r.whats[0]), r.buf[:8], r.buf[8:])
	default:
		statement := pgsql.Many
		if !tries(r.many) {
			statement = pgsql.Free
		}
		if slices.ContainsFunc(r.whats, func(what int64) bool { return what&pgsql.OfPair != 0 }) {
			statement += pgsql.ForPairs
		}
		w.Exec(statement, pgwire.AppendArray(nil, pgwire.OIDInt2, r.whats), pgwire.AppendArray(nil, pgwire.OIDInt8, r.keys), pgwire.AppendArray(nil, pgwire.OIDInt8, r.gates))
	}
	switch {
	case len(r.semaphores) == 0:
	case !tries(r.semaphores):
		part()
		w.Exec(pgsql.FreeSlots,
			pgwire.AppendArray(nil, pgwire.OIDInt2, r.what), pgwire.AppendArray(nil, pgwire.OIDInt8, r.use), pgwire.AppendArray(nil, pgwire.OIDInt8, r.mark), pgwire.AppendArray(nil, pgwire.OIDInt8, r.unlock))
	default:
		part()
		w.Exec(pgsql.Slots,
			pgwire.AppendArray(nil, pgwire.OIDInt2, r.what), pgwire.AppendArray(nil, pgwire.OIDInt8, r.gate), pgwire.AppendArray(nil, pgwire.OIDInt8, r.join),
			pgwire.AppendArray(nil, pgwire.OIDInt8, r.use), pgwire.AppendArray(nil, pgwire.OIDInt8, r.mark), pgwire.AppendArray(nil, pgwire.OIDInt8, r.unlock),
			pgwire.AppendArray(nil, pgwire.OIDInt4, r.first), pgwire.AppendArray(nil, pgwire.OIDInt4, r.last), pgwire.AppendArray(nil, pgwire.OIDInt8, r.slots))
	}
	for _, e := range r.extras {
		part()
		w.Exec(e.statement, e.params...)
	}
}

// tries reports whether some of what is asked for is no unlock.
func tries(asked []request) bool {
	return slices.ContainsFunc(asked, func(q request) bool { return !q.unlocks() })
}

// put adds a request to the round. It is false when the request has to wait for
// the next one: a lock is tried once a round, because what comes of it decides
// what the next try would mean.
func (s *session) put(q request) bool {
	l := q.lock
	switch q.kind {
	case unlock, leave, scrub:
	default:
		if l.round == s.holder.rounds || s.holder.scrubs > 0 {
			return false
		}
		l.round = s.holder.rounds
	}
	if l != nil && l.slots != nil {
		s.putSlot(q)
		return true
	}
	r := &s.holder.batch
	what, key := int64(0), q.key
	if l != nil {
		key = l.key.value
	}
	switch q.kind {
	case try, poll, land:
		if what = s.deed(&q); what == 0 {
			s.takeResult(q, 0, 0)
			return true
		}
	case enter:
		what = pgsql.TokenAlone
	case unlock:
		what = pgsql.FreeAlone
		if q.grip.shared {
			what = pgsql.FreeShared
		}
	case scrub:
		what = q.what
	}
	if l != nil && l.key.pair {
		what |= pgsql.OfPair
	}
	r.many = append(r.many, q)
	r.whats, r.keys = append(r.whats, what), append(r.keys, key)
	if l != nil {
		r.gates = append(r.gates, l.gate)
	} else {
		r.gates = append(r.gates, 0)
	}
	return true
}

// deed returns what the server has to do for a try, or 0 when it need not be asked: the
// session has the lock already, and cannot let another claim in. A reader that comes in
// with others is given their grip.
func (s *session) deed(q *request) int64 {
	l, shared := q.lock, q.mode() == backend.Shared
	switch {
	case q.kind == land && len(q.wait.claims) == 0:
		return 0
	case l.own != nil && !(shared && l.own.shared) || l.own == nil && l.holders > 0 && !(shared && l.shared):
		return 0 // Somebody of this session was faster.
	case l.own != nil:
		q.grip = l.own
		l.own.claims++
		return either[int64](q.kind == land, pgsql.TokenAlone, pgsql.PassGate)
	case q.kind == land:
		return either[int64](shared, pgsql.LandShared, pgsql.LandAlone)
	}
	return either[int64](shared, pgsql.TryShared, pgsql.TryAlone)
}

// mode returns the mode of a try.
func (q *request) mode() backend.Mode {
	if q.claim != nil {
		return q.claim.mode
	}
	return q.wait.mode
}

// putSlot is put for a semaphore.
func (s *session) putSlot(q request) {
	r, t := &s.holder.batch, q.lock.slots
	var what, slot int64
	first := len(r.slots)
	switch q.kind {
	case try, poll, land:
		if uint64(len(t.taken)) >= uint64(t.limit) || q.kind == land && len(q.wait.claims) == 0 {
			s.takeResult(q, 0, 0)
			return
		}
		what = pgsql.SlotTry
		if !t.joined {
			what = pgsql.SlotJoinTry
		}
		if q.kind == land {
			what = pgsql.SlotLand
		}
		q.slot = first
		r.slots, q.next = t.candidates(r.slots, q.from)
	case unlock:
		what, slot = pgsql.SlotUnlock, q.grip.slot
	case leave:
		what = pgsql.SlotLeave
	}
	r.semaphores = append(r.semaphores, q)
	r.what, r.gate, r.unlock = append(r.what, what), append(r.gate, q.lock.gate), append(r.unlock, slot)
	r.join, r.use, r.mark = append(r.join, t.join), append(r.use, t.use), append(r.mark, t.mark)
	r.first, r.last = append(r.first, int64(first+1)), append(r.last, int64(len(r.slots)))
}
