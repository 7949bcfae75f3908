package dlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/dlock-go/dlock/internal/throttle"
)

// The pauses between the attempts of one call.
const (
	firstPause   = 10 * time.Millisecond
	longestPause = time.Second
)

// A retry paces the attempts of one call to get a lock. The zero value is ready for
// use.
type retry struct {
	attempts int   // that failed
	last     error // why the last one did
	pause    *backoff.ExponentialBackOff
	text     string // what the log was told
	throttle throttle.Throttle
}

// wait logs why an attempt failed, at once and then ever more seldom, and waits until
// it is time for the next one, which it is when the client is closed. It returns an
// error when ctx ends first.
func (r *retry) wait(ctx context.Context, c *Client, level slog.Level, text string, err error, attrs ...any) error {
	r.attempts++
	r.last = err
	if r.pause == nil {
		r.pause = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(firstPause),
			backoff.WithMaxInterval(longestPause),
			backoff.WithMaxElapsedTime(0),
		)
	}
	if text != r.text {
		r.text = text
		r.throttle.Over()
	}
	// It is random, and may be longer than the longest.
	pause := min(r.pause.NextBackOff(), longestPause)
	if r.throttle.Due(time.Now()) {
		c.logger.Log(context.Background(), level, text, append(attrs, "error", err, "attempts", r.attempts, "retry_in", pause)...)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.closing:
		return nil
	case <-ctx.Done():
		return r.because(ctx, ctx.Err())
	}
}

// because returns the error of a call whose ctx has ended with the reasons for both:
// why ctx has, and why the last attempt before that failed.
func (r *retry) because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if r.last != nil && !errors.Is(err, r.last) {
		err = &givenUp{err, r.last}
	}
	return err
}

// givenUp is the error of a context that ended while something else stood in the way.
type givenUp struct{ ended, last error }

func (e *givenUp) Error() string {
	return e.ended.Error() + " (" + strings.TrimPrefix(e.last.Error(), "dlock: ") + ")"
}

func (e *givenUp) Unwrap() []error { return []error{e.ended, e.last} }
