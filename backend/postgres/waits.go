package postgres

import "time"

// waits are the wait sessions, and what is known of those who stand in queues at the
// server. The session's mutex guards them.
type waits struct {
	all      []*waitConn
	unmet    []*wait   // without a wait session, in the order in which they will get one
	barred   time.Time // until then no connection is opened, since the last could not be
	lease    uint32    // the last one given to a wait session
	afforded uint64    // how often a wait session could keep what it waits for

	confirming bool          // it is being looked whether they stand in queues, or has just been
	glance     *time.Timer   // when that has been done, for the next look
	pause      time.Duration // before that
	looked     time.Time     // when it was looked whether they are in somebody's way
	stuck      bool          // a wait did not end when the session was closed

	foreign   map[keyID]time.Time // locks that somebody takes without the gate, and when that was last seen
	leftovers []leftover
	seeking   bool      // it is being looked for them
	sought    time.Time // when it may be again
}
