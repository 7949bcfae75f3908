package quorum

import (
	"time"

	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// This file is what a replica tells the machine and has from it, each by itself under the
// session's mutex.

// take returns the next batch for a replica, if there is one.
func (s *session) take(l *replica, now time.Time) (vote.Batch, bool) {
	s.mu.Lock()
	defer s.unlock()
	return s.votes.Take(l.index, now)
}

// unsend takes the word of a node that it has done nothing of the batch.
func (s *session) unsend(l *replica) {
	s.mu.Lock()
	defer s.unlock()
	s.votes.Unsend(l.index)
}

// answer takes a node's answers to the batch that was sent at that time.
func (s *session) answer(l *replica, answers []vote.Answer, sent time.Time) {
	s.mu.Lock()
	defer s.unlock()
	s.votes.Answer(l.index, answers, sent, time.Now())
}

// joined takes the word of a node, which was asked at that time, that the connection
// speaks for an epoch.
func (s *session) joined(l *replica, asked time.Time, begun bool) {
	s.mu.Lock()
	defer s.unlock()
	l.wire.Opened(s.patience())
	s.votes.Up(l.index, asked, begun, time.Now())
}

// hasJoined reports whether a node knew the session when it was heard last.
func (s *session) hasJoined(l *replica) bool {
	s.mu.Lock()
	defer s.unlock()
	return s.votes.Joined(l.index)
}

// forgotten takes the end of the epoch of a node.
func (s *session) forgotten(l *replica, how vote.End) {
	s.mu.Lock()
	defer s.unlock()
	s.votes.Over(l.index, how, time.Now())
}

// fell takes the end of a connection.
func (s *session) fell(l *replica, why error) {
	s.mu.Lock()
	defer s.unlock()
	no := redisconn.Refusal(why)
	if no != nil {
		why = no
	}
	s.hasTried(l)
	s.votes.Down(l.index, why, no != nil, time.Now())
}

// parted takes the word of a node that nothing is left of the session.
func (s *session) parted(l *replica) {
	s.mu.Lock()
	defer s.unlock()
	s.votes.Parted(l.index)
}

func (s *session) horizon() time.Duration {
	s.mu.Lock()
	defer s.unlock()
	return s.votes.Horizon()
}
