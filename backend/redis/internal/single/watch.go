package single

import (
	"context"
	"errors"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// watch looks whether the servers are fit until the session ends. Their settings may be
// changed at any time: where they evict keys nothing more is granted until they do not,
// and what is evicted of what is held is found by the checks of heartbeats.
func (s *session) watch() {
	defer close(s.watching)
	tick := time.NewTicker(s.engine.FitEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.life.Done():
			return
		}
		ctx, cancel := context.WithTimeout(s.life, max(s.patience, time.Second))
		why := redisconn.Fit(ctx, s.client)
		cancel()
		if errors.Is(why, backend.ErrUnsupported) {
			s.notice(why)
		} else {
			why = nil // Who is not answered hears so elsewhere.
		}
		s.mu.Lock()
		s.unfit = why
		s.mu.Unlock()
	}
}

// notice has the caller log something.
func (s *session) notice(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noticed.Fresh(why) {
		s.mail.Send(backend.Event{Kind: backend.EventNotice, Err: why})
	}
}
