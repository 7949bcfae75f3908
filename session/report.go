package session

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// Kind tells what a Report is about.
type Kind uint8

const (
	// Up: a session is open, and the link takes batches.
	Up Kind = iota + 1
	// OpenFailed: Err tells why, Attempt how many have failed by now, and Pause
	// how long the link waits before the next one. It has to be woken again.
	OpenFailed
	// Answer: a batch or a heartbeat was answered; Ops and Results pair up,
	// Leases have new deadlines. Ops whose outcome is unknown, or that the store
	// refuses for now, are not among them: the link sends those again. Trouble tells
	// why, or why a lease was not renewed. After the answer to a batch the link takes
	// the next one.
	Answer
	// News: Events came unasked.
	News
	// Down: the session is dead, Err tells why, and so is what it held. No
	// report of the same session follows.
	Down
)

// A Report is a message from a Link to its coordinator. The Answer to a batch
// belongs to the coordinator until it sends the next one, any other for good.
type Report struct {
	Kind    Kind
	Batch   bool // of an Answer: to a batch, not to a heartbeat
	Ops     []backend.Op
	Results []backend.Result
	Leases  []backend.Lease
	Asleep  time.Duration // how long the machine had slept before the leases were asked for
	Unacked int           // of an Answer: operations that have to be sent again
	Trouble error         // of an Answer: why the store does not do what it should, or nil
	Events  []backend.Event
	Unsure  map[uint64]bool // of Down: owners with an operation that may have taken effect
	Taken   int             // of Down: how many batches were received since the beginning
	Told    chan<- struct{} // of Down: to be closed when all holders know; the link waits for that and then closes the session
	Attempt int             // of OpenFailed
	Pause   time.Duration   // of OpenFailed
	Err     error
}
