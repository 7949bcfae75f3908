package dlock

import (
	"context"
	"os"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// An Inspection is what the store knew at one moment of the three locks that have
// a name: its mutex, its reader-writer lock and its semaphore.
type Inspection struct {
	Holders []Participant // in the order of their grants, lock by lock
	Waiters []Participant // in the order in which they wait, lock by lock
}

// A Participant is a client that holds a lock or waits for it. It stands for all its
// goroutines that do so under one grant or in one place of the queue. What the
// store does not know is left zero.
type Participant struct {
	Class  string // "mutex", "rwmutex" or "semaphore"
	Shared bool   // it reads
	Host   string
	PID    int
	Reason string    // what its client was given by WithReason
	Since  time.Time // when it was granted the lock, or began to wait
	// Token is the fencing token of a holder; where the client has handed the
	// lock on in memory, that of its first holder. 0 where the store has none,
	// and for one who waits.
	Token uint64
}

// Inspect tells who holds the locks of a name and who waits for them. It is for
// people to read, and may be out of date when it returns: to find out whether a
// lock is available, try to acquire it. It takes no lock and delays nobody. A name
// that nobody uses gives an empty Inspection. The error is one of the store or
// of ctx, or matches ErrUnsupported where the store cannot tell.
func (c *Client) Inspect(ctx context.Context, name string) (Inspection, error) {
	var found Inspection
	for class := backend.Mutex; class <= backend.Semaphore; class++ {
		s := c.lockRef(class, backend.Exclusive, name, 1)
		if s.bad != nil {
			return Inspection{}, s.describe("inspect", s.bad)
		}
		holders, waiters, err := c.store.Inspect(ctx, class, c.key(name))
		if err != nil {
			return Inspection{}, s.describe("inspect", err)
		}
		found.Holders = appendParticipants(found.Holders, class, holders)
		found.Waiters = appendParticipants(found.Waiters, class, waiters)
	}
	return found, nil
}

func appendParticipants(participants []Participant, class backend.Class, standings []backend.Participant) []Participant {
	for _, s := range standings {
		participants = append(participants, Participant{
			Class:  class.String(),
			Shared: s.Mode == backend.Shared,
			Host:   s.Host,
			PID:    s.PID,
			Reason: s.Reason,
			Since:  s.Since,
			Token:  coordinator.Token(s.Ordinal, 0),
		})
	}
	return participants
}

// self is what this process tells others of itself.
func self(reason string) backend.ClientInfo {
	host, _ := os.Hostname() // a machine without a name has none to tell
	return backend.ClientInfo{Host: host, PID: os.Getpid(), Reason: reason}
}
