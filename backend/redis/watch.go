package redis

import (
	"context"
	"errors"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// fitEvery is how often a session looks whether its servers are still fit to keep locks.
const fitEvery = time.Minute

// watch looks whether the servers are fit until the session ends. Their settings may be
// changed at any time: where they evict keys nothing more is granted until they do not,
// and what is evicted of what is held is found by the checks of heartbeats.
func (s *session) watch() {
	defer close(s.watching)
	tick := time.NewTicker(s.engine.fitEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.life.Done():
			return
		}
		ctx, cancel := context.WithTimeout(s.life, max(s.patience, time.Second))
		why := fit(ctx, s.client)
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
	if s.noticed.fresh(why) {
		s.tell(backend.Event{Kind: backend.EventNotice, Err: why})
	}
}

// notices are what a caller was told to log. The zero value is empty.
type notices map[string]bool

// fresh reports whether why is to be told: it was not yet, and there is an end to it.
func (n *notices) fresh(why error) bool {
	text := why.Error()
	if (*n)[text] || len(*n) == 16 {
		return false
	}
	if *n == nil {
		*n = make(notices)
	}
	(*n)[text] = true
	return true
}
