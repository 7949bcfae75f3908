package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/journal"
)

// probe takes every name once: of a semaphore all tickets.
func (w *worker) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), w.job.Probe)
	defer cancel()
	var errs []error
	for name := range w.job.Names() + 1 {
		tickets := 1
		if w.job.Class == backend.Semaphore {
			tickets = w.job.Limit
		}
		for range tickets {
			op := w.ops.Add(1)
			c := w.clients[0]
			w.journal.Add(journal.Call, c.index, op, int64(name), int64(backend.Exclusive), int64(w.job.Probe))
			hold, err := w.lock(c, name, backend.Exclusive).Acquire(ctx)
			if err != nil {
				w.journal.Put(journal.Now(), journal.Fail, err.Error(), c.index, op)
				errs = append(errs, fmt.Errorf("name %d: %w", name, err))
				continue
			}
			token, _ := hold.Token()
			w.journal.Add(journal.Grant, c.index, op, 0, 0, 0, 0, int64(token))
			defer func() {
				w.journal.Add(journal.Release, c.index, op)
				_ = hold.Release(ctx)
				w.journal.Add(journal.Released, c.index, op)
			}()
		}
	}
	time.Sleep(10 * time.Millisecond) // All are held at once for a moment.
	return errors.Join(errs...)
}
