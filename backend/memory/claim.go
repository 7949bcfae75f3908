package memory

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/chain"
)

// A claim is what one owner has of one lock: it holds it or waits for it. It is
// linked into one list of its lock. The store's mutex guards it.
type claim struct {
	session *session
	lock    *lock
	owner   uint64
	mode    backend.Mode
	ordinal uint64    // of the grant; 0 while it waits
	since   time.Time // when it was granted or began to wait
	told    bool      // an EventContended is on its way to the owner

	link chain.Link[claim]
}

func (c *claim) held() bool { return c.ordinal != 0 }

// terms returns the grant of a held claim as it stands now.
func (c *claim) terms() backend.Grant {
	return backend.Grant{Ordinal: c.ordinal, Contended: c.lock.awaitedBesides(c.session)}
}

// standing is what Inspect says of c.
func (c *claim) standing() backend.Participant {
	return backend.Participant{ClientInfo: c.session.who, Mode: c.mode, Since: c.since, Ordinal: c.ordinal}
}

// A claimList is claims in the order of their arrival.
type claimList = chain.List[claim]
