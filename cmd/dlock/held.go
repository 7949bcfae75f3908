package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dlock-go/dlock"
)

// reach is how long a store may take to answer at first before it counts as out
// of reach.
const reach = 10 * time.Second

// A held is a lock that is held, and the client through which it is.
type held struct {
	client *dlock.Client
	hold   *dlock.Hold
}

// take takes the lock of a job, or tells how dlock ends without it.
func (j *job) take(ctx context.Context) (*held, exit) {
	opening, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	var least slog.LevelVar
	least.Set(slog.LevelError) // what fails now is an error below
	client, err := dlock.Open(opening, j.url, dlock.WithLogger(slog.New(messenger{least: &least})))
	if err != nil {
		return nil, exit{exitUnavailable, err}
	}
	least.Set(slog.LevelWarn)
	mu := client.Mutex(j.name)
	acquire := mu.Acquire
	if j.try {
		acquire = mu.TryAcquire
	}
	if j.wait > 0 {
		ctx, cancel = context.WithTimeout(ctx, j.wait)
		defer cancel()
	}
	hold, err := acquire(ctx)
	if err != nil {
		closeInTime(client)
		return nil, j.refused(err)
	}
	return &held{client, hold}, exit{}
}

// refused is the exit of a job that did not get its lock because of err.
func (j *job) refused(err error) exit {
	switch {
	case errors.Is(err, dlock.ErrBusy):
		return exit{exitBusy, err}
	case errors.Is(err, context.DeadlineExceeded):
		return exit{exitBusy, fmt.Errorf("mutex %q was not to be had within %v", j.name, j.wait)}
	case errors.Is(err, dlock.ErrName):
		return exit{exitUsage, err}
	default:
		return exit{exitUnavailable, err}
	}
}

// giveBack frees the lock.
func (h *held) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	// A loss has been reported when it happened.
	if err := h.hold.Release(ctx); err != nil && !errors.Is(err, dlock.ErrLost) {
		say(err)
	}
	closeInTime(h.client)
}

func closeInTime(client *dlock.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := client.Close(ctx); err != nil {
		say(err)
	}
}
