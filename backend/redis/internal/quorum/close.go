package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// Close implements [backend.Session]. A node whose connection has broken, or that does
// not answer for half of the time to live, is not waited for.
func (s *session) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.unlock()
		return nil
	}
	held := !s.votes.Idle()
	s.end()
	s.unlock()
	defer s.abandon()
	var grace <-chan time.Time
	for began := time.Now(); ; {
		left, running := s.leaving()
		switch {
		case running == 0 && (left >= s.majority || !held):
			return nil
		case running == 0:
			return errLeaving
		case left >= s.majority && grace == nil:
			grace = time.After(patienceForOthers(time.Since(began)))
		}
		select {
		case <-s.moved:
		case <-grace:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errLeaving = errors.New("dlock: too few nodes have answered; they keep what the session had until its time to live ends")

// end has what runs for the session end. s.mu is held.
func (s *session) end() {
	s.closed = true
	s.votes.Close()
	s.mail.End(backend.ErrClosed)
	close(s.done)
}

// leaving returns how many nodes have ended the session, and how many of the others
// may still.
func (s *session) leaving() (left, running int) {
	s.mu.Lock()
	defer s.unlock()
	return s.votes.Leaving()
}

// abandon ends all goroutines of the session and waits for them.
func (s *session) abandon() {
	s.mu.Lock()
	if !s.closed {
		s.end()
	}
	s.unlock()
	s.cut()
	ended := make(chan struct{}) // closed by wait
	go s.wait(ended)
	for {
		for _, l := range s.replicas {
			l.wire.Cut()
		}
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond): // A connection may have been made meanwhile.
		}
	}
}

func (s *session) wait(ended chan<- struct{}) {
	s.running.Wait()
	close(ended)
}
