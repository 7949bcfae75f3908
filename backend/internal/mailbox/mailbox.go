// Package mailbox passes what happens in a session to its Recv.
package mailbox

import (
	"context"
	"sync"

	"github.com/dlock-go/dlock/backend"
)

// A Mailbox holds the events of a session until Recv takes them. The mutex of the session
// guards it: whoever calls Send, End or Size holds that.
type Mailbox struct {
	mu    sync.Locker
	wake  chan struct{} // holds one: sent when events begin to wait
	ended chan struct{} // closed by End

	events []backend.Event // not yet received
	err    error           // why none will come any more

	received []backend.Event // owned by Recv
}

// New returns a mailbox that is guarded by mu.
func New(mu sync.Locker) *Mailbox {
	return &Mailbox{mu: mu, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Send passes an event to Recv, and does not wait for it.
func (m *Mailbox) Send(e backend.Event) {
	m.events = append(m.events, e)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// End has Recv return err from now on. What was not received is gone.
func (m *Mailbox) End(err error) {
	if m.err == nil {
		close(m.ended)
	}
	m.err, m.events = err, nil
}

// Recv waits for events, until ctx ends or the mailbox does; see [backend.Session]. The
// slice is good until the next call, as it is used for the events to come.
func (m *Mailbox) Recv(ctx context.Context) ([]backend.Event, error) {
	for {
		events, err := m.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-m.wake:
		case <-m.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *Mailbox) take() ([]backend.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	m.received, m.events = m.events, m.received[:0]
	return m.received, nil
}

// Size is for how many events there is room.
func (m *Mailbox) Size() int { return cap(m.events) }
