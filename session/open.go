package session

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// open opens a session, or reports why it could not and waits before the next
// attempt.
func (l *Link) open(opener context.Context) backend.Session {
	now := time.Now()
	l.asleep.Store(int64(slept(now)))
	l.ask(now)
	s, err := l.tryOpen(opener)
	l.busy.Store(0)
	if err == nil {
		if l.failures > 0 || l.lost {
			l.logger.Info("dlock: session reopened", "backend", l.backend.String(), "attempts", l.failures+1)
		}
		l.failures, l.lost = 0, false
		l.reopen.Reset()
		return s
	}
	l.failures++
	pause := l.reopen.NextBackOff()
	l.report(&Report{Kind: OpenFailed, Err: err, Attempt: l.failures, Pause: pause})
	select {
	case <-time.After(pause):
	case <-l.quit:
	}
	return nil
}

// tryOpen asks the driver for a session. Who waits for it bounds that; the time to
// live does not, for a slow link may take longer.
func (l *Link) tryOpen(opener context.Context) (backend.Session, error) {
	late := time.AfterFunc(slow, func() {
		l.logger.Warn("dlock: opening a session takes long", "backend", l.backend.String(), "for", slow)
	})
	defer late.Stop()
	if opener == nil {
		bound := max(opening, l.ttl)
		ctx, cancel := context.WithTimeoutCause(l.leaving, bound, fmt.Errorf("no session within %v", bound))
		defer cancel()
		s, err := l.backend.Open(ctx, l.ttl, l.client)
		if err != nil && ctx.Err() != nil && l.leaving.Err() == nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return s, err
	}
	ctx, cancel := context.WithCancel(opener)
	defer cancel()
	stop := context.AfterFunc(l.leaving, cancel)
	defer stop()
	return l.backend.Open(ctx, l.ttl, l.client)
}
