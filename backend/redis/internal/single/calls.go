package single

import (
	"context"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// calls is the context of the calls that a session makes to its server in Apply. It
// ends with the session and with the context of Apply, which is the same one for as
// long as a session lives: to make the context anew for each batch costs about as
// much as all else that is done for a small one. Apply owns what is not guarded.
type calls struct {
	given context.Context // to Apply
	ctx   context.Context
	end   func() // frees what they take

	mu       sync.Mutex
	applying context.Context // that of the Apply that is under way, or nil
}

// begin returns the context for an Apply with ctx, which ends calls done. When ctx
// ends before that, connections are cut.
func (c *calls) begin(ctx context.Context, s *session) context.Context {
	if c.given != ctx {
		if c.end != nil {
			c.end()
		}
		call, cancel := context.WithCancel(s.life)
		unhook := context.AfterFunc(ctx, func() {
			cancel()
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.applying == ctx { // Another Apply with another context may have begun by now.
				s.wire.Cut()
			}
		})
		c.given, c.ctx, c.end = ctx, call, func() { unhook(); cancel() }
	}
	c.mu.Lock()
	c.applying = ctx
	c.mu.Unlock()
	if ctx.Err() != nil {
		s.wire.Cut() // It may have ended before this Apply began.
	}
	return redisconn.WithDeadline(c.ctx, time.Now().Add(s.patience))
}

func (c *calls) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applying = nil
}
