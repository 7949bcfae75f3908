package quorum

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// An Engine keeps locks on an odd number of servers that know nothing of one another:
// whoever has the votes of a majority holds.
type Engine struct {
	// Immutable.
	nodes  []*redisconn.Node
	prefix string        // of all keys
	most   time.Duration // the longest time to live of a session
	Ahead  time.Duration // of this machine's clock, for tests

	FitEvery time.Duration // how often a session looks whether the nodes are fit
}

// DefaultMaxTTL is the longest time to live that sessions may have where nobody says.
const DefaultMaxTTL = 30 * time.Second

// New returns the engine on several independent nodes.
func New(nodes []*redisconn.Node, prefix string, most time.Duration) (*Engine, error) {
	for _, n := range nodes {
		if n.Cluster != nil || n.Failover != nil {
			return nil, fmt.Errorf("%w: a quorum consists of single servers that know nothing of one another, and %s is not one", backend.ErrUnsupported, n)
		}
	}
	switch {
	case most < 0:
		return nil, fmt.Errorf("%w: a longest time to live of %v", backend.ErrUnsupported, most)
	case len(nodes)%2 == 0:
		return nil, fmt.Errorf("%w: a quorum of %d nodes; the number has to be odd, as one more bears no more failures", backend.ErrUnsupported, len(nodes))
	case len(nodes) > vote.MaxNodes:
		return nil, fmt.Errorf("%w: a quorum of %d nodes; %d are the most", backend.ErrUnsupported, len(nodes), vote.MaxNodes)
	}
	if most == 0 {
		most = DefaultMaxTTL
	}
	return &Engine{nodes: nodes, prefix: prefix + "q:", most: most, FitEvery: redislock.FitEvery}, nil
}

// Caps tells what the store guarantees. There is no queue that all nodes agree on.
func (q *Engine) Caps() backend.Caps {
	return backend.Caps{Notify: true, Fencing: true, Contended: true, Processes: true, Inspect: true}
}

// names returns what the nodes are called.
func (q *Engine) names() []string {
	names := make([]string, len(q.nodes))
	for i, n := range q.nodes {
		names[i] = n.String()
	}
	return names
}

// Open starts a session, and returns when a majority of the nodes knows the session.
func (q *Engine) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	switch {
	case ttl > q.most:
		return nil, fmt.Errorf("%w: a time to live of %v; the longest that this quorum allows is %v", backend.ErrUnsupported, ttl, q.most)
	case ttl < 50*time.Millisecond:
		return nil, fmt.Errorf("%w: a time to live of %v; with a quorum it is 50 ms or more", backend.ErrUnsupported, ttl)
	}
	s := newSession(q, ttl, who)
	if err := s.begin(ctx); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// errNodes tells that too few nodes take part. why has an entry for each node.
func (q *Engine) errNodes(why []error) error { return vote.NodesError(q.names(), why) }
