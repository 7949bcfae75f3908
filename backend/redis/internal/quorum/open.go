package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// begin starts the replicas, and returns when a majority of the nodes knows the session.
func (s *session) begin(ctx context.Context) error {
	for _, l := range s.replicas {
		s.running.Add(1)
		go l.run()
	}
	s.running.Add(1)
	go s.watch()
	var grace <-chan time.Time // for the others, once there is a majority
	for {
		up, tried, why := s.standing()
		switch {
		case s.unfitness() != nil:
			return s.unfitness()
		case up == len(s.replicas), up >= s.majority && tried == len(s.replicas):
			s.setOpened()
			return nil
		case tried-up > len(s.replicas)-s.majority:
			return s.quorum.errNodes(why)
		case up >= s.majority && grace == nil:
			grace = time.After(50 * time.Millisecond)
		}
		select {
		case <-s.moved:
		case <-grace:
			s.setOpened()
			return nil
		case <-ctx.Done():
			_, _, why := s.standing()
			return fmt.Errorf("%w: %w", context.Cause(ctx), s.quorum.errNodes(why))
		}
	}
}

func (s *session) setOpened() {
	s.mu.Lock()
	defer s.unlock()
	s.opened = true
	s.votes.Opened()
	for _, l := range s.replicas {
		l.wire.Opened(s.patience())
	}
}

// connecting notes at which step a replica is.
func (s *session) connecting(l *replica, step string) {
	s.mu.Lock()
	defer s.unlock()
	l.step = step
}

// standing returns how many nodes are up, how many are that or have failed, and why.
func (s *session) standing() (up, tried int, why []error) {
	s.mu.Lock()
	defer s.unlock()
	return s.votes.Standing()
}

func (s *session) unfitness() error {
	s.mu.Lock()
	defer s.unlock()
	return s.unfit
}

// misfit notes that a server cannot be a node, and returns why.
func (s *session) misfit(l *replica, why error) error {
	s.mu.Lock()
	defer s.unlock()
	if s.unfit == nil {
		s.unfit = fmt.Errorf("%s: %w", l.node, why)
	}
	return why
}

// met takes the greeting of a server, and returns how the node stands if it has no
// marker: it is part of a new quorum, has lost it, or nobody can tell.
func (s *session) met(l *replica, g greeting) (standing string, err error) {
	s.mu.Lock()
	l.greeting, l.greeted = g, true
	for _, other := range s.replicas {
		if other != l && other.greeted && other.greeting.run == g.run {
			g.err = fmt.Errorf("%w: %s and %s are the same server", backend.ErrUnsupported, other.node, l.node)
		}
	}
	if g.err == nil && !s.opened {
		g.err = g.evicts
	}
	s.votes.Evicts(l.index, g.evicts)
	if g.err != nil && !errors.Is(g.err, s.unfit) && s.unfit == nil {
		s.unfit = fmt.Errorf("%s: %w", l.node, g.err)
	}
	s.most.Store(max(s.most.Load(), int64(g.most)))
	first := l.epochs == 0 && !l.tried
	s.hasTried(l)
	s.unlock()
	if g.err != nil {
		return "", g.err
	}
	if g.marker != "" {
		return "lost", nil
	}
	// Others may still have to say whether the quorum is new.
	patience := time.NewTimer(5 * time.Second)
	defer patience.Stop()
	select {
	case <-s.counted:
	case <-patience.C:
	case <-s.done:
	}
	s.mu.Lock()
	defer s.unlock()
	var all []*greeting
	for _, other := range s.replicas {
		if other.greeted {
			all = append(all, &other.greeting)
		} else {
			all = append(all, nil)
		}
	}
	return standingOf(g.run, first, all), nil
}

// standingOf decides how a server without a marker stands, by the greetings of all, of which
// that of a server that was not reached is nil. It votes at once, being part of a new
// quorum, only for a session that meets it for the first time, and only if no server has a
// marker, or one has got it just now with this one among its peers.
func standingOf(run string, first bool, all []*greeting) string {
	unheard, marked, founded := false, false, false
	for _, g := range all {
		unheard = unheard || g == nil
		marked = marked || g != nil && g.marker != ""
		founded = founded || g != nil && g.founds(run)
	}
	switch {
	case first && (founded || !marked && !unheard):
		return "new"
	case first && !marked:
		return "unsure"
	}
	return "lost"
}

// founds reports whether another session is setting up a quorum with that server.
func (g *greeting) founds(run string) bool {
	return g.marker != "" && g.age > 0 && g.age < 10*time.Second && slices.Contains(strings.Split(g.peers, ","), run)
}

// hasTried notes that a replica has greeted or failed.
func (s *session) hasTried(l *replica) {
	if l.tried {
		return
	}
	l.tried = true
	for _, l := range s.replicas {
		if !l.tried {
			return
		}
	}
	close(s.counted)
}

// peers returns the run_ids of the nodes, for a new quorum.
func (s *session) peers() string {
	s.mu.Lock()
	defer s.unlock()
	var runs []string
	for _, l := range s.replicas {
		runs = append(runs, l.greeting.run)
	}
	return strings.Join(runs, ",")
}
