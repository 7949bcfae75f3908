package dlock

import (
	"context"
	"sync"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// An ownStore is a store that its client has made and has to close.
type ownStore struct {
	backend backend.Closer
	once    sync.Once
	done    chan struct{} // closed by end
	err     error         // of the backend; set before done is closed
}

// close closes the store once the coordinator has let go of it, and returns when that
// is done or ctx ends. It goes on then. A client without a store of its own has nothing
// to do.
func (o *ownStore) close(ctx context.Context, c *coordinator.Coordinator) error {
	if o == nil {
		return nil
	}
	o.once.Do(func() { go o.end(ctx, c) })
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *ownStore) end(ctx context.Context, c *coordinator.Coordinator) {
	defer close(o.done)
	_ = c.Close(context.Background()) // It returns when no session is left.
	o.err = o.backend.Close(ctx)
}
