package postgres

import (
	"fmt"
	"math/rand/v2"
)

// A marker is the key of a lock that a holder session has from its beginning to its
// end, and nobody else has a reason to ask for. Its high half says what kind of session
// there is, and the low half is random. That a connection cannot have it proves that it
// leads to the server on which the holder session is alive: after a fail-over the one may
// lead to the new primary, and the other to the old one, where the lease goes on.
type marker int64

// newMarker returns the marker of a session.
func (st *Store) newMarker() marker { return marker(st.kind()<<32 | int64(rand.Uint32())) }

// kind is the high half of markers. Sessions that draw tokens of one sequence have the
// same.
func (st *Store) kind() int64 {
	purpose := "sessions"
	if st.config.tokens {
		purpose = "sessions with tokens of " + st.config.schema
	}
	return Key{}.derive(purpose) >> 32
}

// look returns the stage by which a connection finds out whether it can have a marker.
func (m marker) look(answer *[]string) stage {
	return stage{doing: "looking for the session that it is to wait for", sql: fmt.Sprintf("select pg_try_advisory_lock(%d)", int64(m)), answer: answer}
}

// record is how the marker stands in pg_locks.
func (m marker) record() record { return record{key: int64(m)} }

// errElsewhere says that a connection is of no use to a session.
var errElsewhere = fmt.Errorf("the connection leads to another server than the session is on, or the session has ended there")
