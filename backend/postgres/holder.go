package postgres

import (
	"time"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// A holder is the holder session: the connection that holds all locks but those that wait
// sessions keep, and never waits. The session's mutex guards it.
type holder struct {
	conn      *pgwire.Conn
	reading   bool      // somebody reads
	attentive bool      // Apply is at it, and reads when nobody does
	proved    time.Time // when the last question was asked that was answered
	until     time.Time // the end of its lease, which that proves
	told      time.Time // as Apply told it

	pending []request // what it is to ask
	extras  []extra
	batch   batch // what it has asked
	rounds  uint64
	beat    bool      // it is to say something, and be it nothing
	later   []request // to be asked again when the clock rings

	broken []broken // statements of the round that failed
	failed bool     // one has, and what came of it is being looked up
	why    error    // it has
	dry    drought
	scrubs int  // unlocks that are done before anything is tried
	verify bool // they are done, and that is to be looked up
}

// holderLease is the lease of what the holder session holds.
const holderLease = 1
