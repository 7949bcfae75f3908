package coordinator

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/chain"
)

// tokenBits of a fencing token count the holders under one grant.
const tokenBits = 12

// maxHolders is how many claims may hold under one grant before a new one has to
// be taken.
const maxHolders = 1 << tokenBits

// An entry is one acquisition at the store: a place in its queue, and then a
// hold, which claims of this process have one after the other or, as readers,
// together.
type entry struct {
	owner uint64 // its name at the store; grows in the order of asking
	lock  *lock  // nil when releasing
	mode  backend.Mode
	state entryState
	place bool              // asked for with Wait, for whoever is first when it is granted
	link  chain.Link[entry] // among the places of its lock, while it waits
	try   *Claim            // the claim that it was asked for without Wait; nil when that one has given up
	again bool              // its Acquire is to be applied again
	waits bool              // the store has let it wait

	// cover is the first arrival that a shared grant does not admit as a matter
	// of course: who came later has to get past the writers.
	cover uint64

	// Since it was granted.
	holders queue
	grant   backend.Grant
	granted time.Time
	served  uint64 // claims that have held it so far

	last *Claim // held it when the client was closed

	leaver *Claim // waits for the answer to the Release
}

type entryState uint8

const (
	asked     entryState = iota + 1 // no answer yet
	queued                          // waits at the store
	granted                         // holds
	releasing                       // to be released, or Release sent
)

// Token returns the fencing token of a holder: the store's ordinal above the
// number of those who have held under the same grant before. It is 0 where the
// store has no ordinals.
func Token(ordinal, before uint64) uint64 {
	if ordinal == 0 {
		return 0
	}
	return ordinal<<tokenBits | before
}

// token returns the fencing token of the next claim to hold.
func (e *entry) token() uint64 { return Token(e.grant.Ordinal, e.served) }

// via is how the next claim to hold comes to it.
func (e *entry) via() Via {
	switch {
	case e.served > 0:
		return Memory
	case e.waits:
		return Queue
	}
	return Store
}

// acquire returns the operation that asks for the entry.
func (e *entry) acquire() backend.Op {
	return backend.Op{
		Do:    backend.Acquire,
		Class: e.lock.class,
		Mode:  e.mode,
		Wait:  e.place,
		Owner: e.owner,
		Limit: e.lock.limit,
		Name:  e.lock.name,
	}
}
