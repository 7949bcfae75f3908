package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	since  time.Time
}

// promptly is how long a store may take to say whether a lock is free, where dlock is not
// to wait.
const promptly = 2 * time.Second

// deadline returns the end of the wait, or the zero Time when there is none.
func (j *job) deadline() time.Time {
	switch {
	case j.try:
		return j.begin.Add(promptly)
	case j.wait > 0:
		return j.begin.Add(j.wait)
	}
	return time.Time{}
}

// take takes the lock of a job, or tells how dlock ends without it.
func (j *job) take(ctx context.Context) (*held, exit) {
	store, e := j.resolve()
	if store == nil {
		return nil, e
	}
	if err := j.nested(store); err != nil {
		return nil, exit{code: exitUsage, err: err}
	}
	if deadline := j.deadline(); !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	opening, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	var least slog.LevelVar
	least.Set(slog.LevelError) // what fails now is an error below
	client, err := dlock.Open(opening, j.url, dlock.WithTTL(j.ttl), dlock.WithReason(j.reason),
		dlock.WithNamespace(j.namespace), dlock.WithLogger(slog.New(messenger{least: &least})))
	if err != nil {
		if ctx.Err() != nil {
			return nil, j.overdue(err)
		}
		return nil, exit{code: exitUnavailable, err: err}
	}
	switch {
	case j.verbose:
		least.Set(slog.LevelInfo)
	case !j.quiet:
		least.Set(slog.LevelWarn)
	}
	b := j.issue(client)
	hold, err := j.acquire(ctx, client)
	b.stop()
	if err != nil {
		e := j.refused(err, client)
		closeInTime(client, brieflyParting)
		return nil, e
	}
	if j.verbose {
		say(fmt.Sprintf("have %s after %v", brief(j.name), time.Since(j.begin).Round(time.Millisecond)))
	}
	return &held{client, hold, time.Now()}, exit{}
}

func (j *job) acquire(ctx context.Context, client *dlock.Client) (*dlock.Hold, error) {
	rw := client.RWMutex(j.name)
	var lock interface {
		Acquire(context.Context) (*dlock.Hold, error)
		TryAcquire(context.Context) (*dlock.Hold, error)
	} = rw
	switch {
	case j.shared && j.try:
		return rw.TryAcquireRead(ctx)
	case j.shared:
		return rw.AcquireRead(ctx)
	case j.slots > 0:
		lock = client.Semaphore(j.name, j.slots)
	case j.mutex:
		lock = client.Mutex(j.name)
	}
	if j.try {
		return lock.TryAcquire(ctx)
	}
	return lock.Acquire(ctx)
}

// refused is the exit of a job that did not get its lock because of err.
func (j *job) refused(err error, client *dlock.Client) exit {
	switch {
	case errors.Is(err, dlock.ErrBusy):
		return j.conflicted(fmt.Errorf("%s is busy%s", brief(j.name), j.blame(client)))
	case errors.Is(err, context.DeadlineExceeded) && !j.try:
		return j.conflicted(fmt.Errorf("%s was not acquired within %v%s%s", brief(j.name), j.wait, trouble(err), j.blame(client)))
	case errors.Is(err, context.DeadlineExceeded):
		return j.overdue(err)
	}
	return failed(err)
}

// overdue is the exit of a job whose time was over before the store had answered.
func (j *job) overdue(err error) exit {
	if j.try {
		return exit{code: exitUnavailable, err: fmt.Errorf("whether %s is free the store did not say within %v%s", brief(j.name), promptly, trouble(err))}
	}
	return j.conflicted(fmt.Errorf("%s was not acquired within %v%s", brief(j.name), j.wait, trouble(err)))
}

// conflicted is the exit of a job whose lock others have.
func (j *job) conflicted(err error) exit {
	e := exit{code: exitBusy, err: err}
	if j.conflict != nil {
		e.code = *j.conflict
	}
	if j.quiet {
		e.err = nil
	}
	return e
}

// trouble tells what else stood in the way when a wait ended: that the store did not
// answer, say, or that others use another number of slots.
func trouble(err error) string {
	if why := beside(err); why != nil {
		return ": " + strings.TrimPrefix(why.Error(), "dlock: ")
	}
	return ""
}

// beside returns the part of an error that is not about the end of a wait, or nil.
func beside(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return beside(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if why := beside(part); why != nil {
				return why
			}
		}
	}
	return nil
}

// failed is the exit of dlock when the store answered with err.
func failed(err error) exit {
	if errors.Is(err, dlock.ErrName) || errors.Is(err, dlock.ErrLimit) {
		return exit{code: exitUsage, err: err}
	}
	return exit{code: exitUnavailable, err: err}
}

// blame tells why the lock was not acquired, if the store says so.
func (j *job) blame(client *dlock.Client) string {
	ctx, cancel := context.WithTimeout(context.Background(), brieflyParting)
	defer cancel()
	found, err := client.Inspect(ctx, j.name)
	if err != nil {
		return ""
	}
	if s := describeHolders(of(j.class(), found.Holders)); s != "" {
		return ": " + s
	}
	if len(of(j.class(), found.Waiters)) > 0 {
		return ": others wait for it"
	}
	return "" // It has become free since.
}

// giveBack frees the lock. It returns ErrLost if that was lost; any other error
// is said here.
func (h *held) giveBack() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := h.hold.Release(ctx)
	if err != nil && !errors.Is(err, dlock.ErrLost) {
		say(err)
	}
	closeInTime(h.client, closeTimeout)
	return err
}

// closeInTime closes a client, as far as it gets in the time.
func closeInTime(client *dlock.Client, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.Close(ctx); err != nil {
		say(err)
	}
}
