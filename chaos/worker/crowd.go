package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/journal"
)

const (
	crowd   = 500
	ranks   = 5                // it comes in so many, one after the other
	between = 3 * journal.Late // long enough to tell who came first
	gather  = 10 * time.Second // is enough for all to be there
)

// crowd has many goroutines of one client want one name at once. The first of them, as many
// as can, hold it until all the others wait, so that there is a crowd whatever happens then.
func (w *worker) crowd(c *client) {
	w.working.Add(1)
	go w.gathers(c)
}

func (w *worker) gathers(c *client) {
	defer w.working.Done()
	there := make(chan struct{})
	keepers := 1
	if w.job.Class == backend.Semaphore {
		keepers = w.job.Limit
	}
	for range keepers {
		w.working.Add(1)
		go w.member(c, there)
	}
	ctx, cancel := context.WithTimeout(w.stop, gather)
	defer cancel()
	defer func() {
		fmt.Println("gathered")
		close(there)
	}()
	for rank := range ranks {
		pause(ctx, between)
		for range crowd / ranks {
			w.working.Add(1)
			go w.member(c, nil)
		}
		// Who comes in the next one comes later than all of these.
		for ctx.Err() == nil && c.Stats().Waiting < (rank+1)*crowd/ranks {
			pause(ctx, time.Millisecond)
		}
		if ctx.Err() == nil {
			w.journal.Add(journal.Crowd, c.index, int64(w.job.Crowd()), int64(c.Stats().Waiting))
		}
	}
}

// member is one of a crowd, who holds until then, or for a moment if it is nil.
func (w *worker) member(c *client, until <-chan struct{}) {
	defer w.working.Done()
	ctx, cancel := context.WithTimeout(w.stop, 20*time.Second)
	defer cancel()
	op := w.ops.Add(1)
	w.journal.Add(journal.Call, c.index, op, int64(w.job.Crowd()), int64(backend.Exclusive), int64(20*time.Second))
	h, err := w.lock(c, w.job.Crowd(), backend.Exclusive).Acquire(ctx)
	if err != nil {
		w.failed(c, op, err)
		return
	}
	w.granted(c, op, w.job.Crowd(), h)
	if until != nil {
		select {
		case <-until:
		case <-h.Lost():
			w.journal.Put(journal.Now(), journal.Lost, h.Err().Error(), c.index, op)
		}
	}
	w.release(c, op, h)
}

// release gives a lock back.
func (w *worker) release(c *client, op int64, h *dlock.Hold) {
	w.journal.Add(journal.Release, c.index, op)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	text := ""
	if err := h.Release(ctx); err != nil {
		text = err.Error()
	}
	w.journal.Put(journal.Now(), journal.Released, text, c.index, op)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
