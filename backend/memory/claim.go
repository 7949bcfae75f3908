package memory

import (
	"time"

	"github.com/dlock-go/dlock/backend"
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

	prev, next *claim
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

// A claimList is a doubly linked list of claims, in the order of their arrival.
// The zero value is empty.
type claimList struct {
	first, last *claim
	len         int
}

func (q *claimList) push(c *claim) {
	c.prev, c.next = q.last, nil
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
	q.len++
}

func (q *claimList) remove(c *claim) {
	if c.prev == nil {
		q.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		q.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	q.len--
}
