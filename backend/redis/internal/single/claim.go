package single

import (
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/chain"
)

// A claim is what one owner of a session has of one lock, as far as the session
// knows. It stands in the list of its shard for its state.
type claim struct {
	// Immutable.
	shard *shard
	owner uint64
	class backend.Class
	mode  backend.Mode
	wait  bool
	limit uint32
	name  string
	key   string

	// Guarded by session.mu.
	state   state
	asking  bool      // an Acquire was sent that has no answer: it may have taken effect
	freeing bool      // likewise a Release
	leaving bool      // its Release is on its way, or that one's outcome unknown
	due     time.Time // when its key is to be touched at the latest; the zero Time: at once
	link    chain.Link[claim]
}

type state uint8

const (
	asked  state = iota + 1 // its Acquire is on its way, or its outcome unknown
	queued                  // it waits at the server
	held
	lost // it was held and is no longer; the server keeps nothing of it
)

// is reports whether op is an Acquire of the same lock in the same way.
func (c *claim) is(op *backend.Op) bool {
	return c.class == op.Class && c.mode == op.Mode && c.limit == op.Limit && c.name == op.Name
}

// missing returns the outcome of a Release that has found nothing.
func (c *claim) missing() backend.State {
	if (c.state == held || c.state == lost) && !c.freeing {
		return backend.NotHeld
	}
	return backend.Released
}

// The codes of requests in batch.lua.
const (
	codeAcquire = "?mws" // by class; a reader is r; in upper case it waits
	codeWait    = "?MWS"
	codeAgain   = "?NXY" // of one who may wait already; a reader is Q
	codeRelease = "?uvz"
	codeTouch   = "?tTT"
)

func (c *claim) acquireCode() string {
	again := c.wait && (c.asking || c.state == queued)
	switch {
	case again && c.mode == backend.Shared:
		return "Q"
	case again:
		return codeAgain[c.class : c.class+1]
	case c.mode == backend.Shared && c.wait:
		return "R"
	case c.mode == backend.Shared:
		return "r"
	case c.wait:
		return codeWait[c.class : c.class+1]
	}
	return codeAcquire[c.class : c.class+1]
}

func (c *claim) releaseCode() string { return codeRelease[c.class : c.class+1] }
func (c *claim) touchCode() string   { return codeTouch[c.class : c.class+1] }

// move puts c at the end of a list, from whatever list it is in.
func (c *claim) move(to *chain.List[claim]) {
	c.link.Remove()
	to.Push(c, &c.link)
}
