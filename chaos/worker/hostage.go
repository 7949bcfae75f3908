package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/journal"
)

// hostage takes all there is of a name that many want, and says so: who is killed then
// leaves something behind. If nobody is, it is given back.
func (w *worker) hostage() {
	defer w.working.Done()
	const enough = 5 * time.Second
	c := w.clients[0]
	ctx, cancel := context.WithTimeout(w.stop, enough)
	defer cancel()
	name := 0 // which most want
	tickets := 1
	if w.job.Class == backend.Semaphore {
		tickets = w.job.Limit
	}
	type one struct {
		op   int64
		hold *dlock.Hold
	}
	var all []one
	for range tickets {
		op := w.ops.Add(1)
		w.journal.Add(journal.Call, c.index, op, int64(name), int64(backend.Exclusive), int64(enough))
		h, err := w.lock(c, name, backend.Exclusive).Acquire(ctx)
		if err != nil {
			w.failed(c, op, err)
			break
		}
		w.granted(c, op, name, h)
		all = append(all, one{op, h})
	}
	if len(all) == tickets {
		w.wanted(ctx, c, name)
		fmt.Println("held")
		<-ctx.Done()
	}
	for _, o := range all {
		if err := o.hold.Err(); err != nil {
			w.journal.Put(journal.Now(), journal.Lost, err.Error(), c.index, o.op)
		}
		w.release(c, o.op, o.hold)
	}
}

// wanted returns when several others wait for a name. Those that wait for a moment only
// have gone soon after.
func (w *worker) wanted(ctx context.Context, c *client, name int) {
	for ctx.Err() == nil {
		pause(ctx, 30*time.Millisecond)
		if is, err := c.Inspect(ctx, job.Name(name)); err == nil && len(is.Waiters) > 1 {
			return
		}
	}
}
