package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/single"
)

// DefaultPrefix is what the keys of a Store begin with.
const DefaultPrefix = "dlock:"

// DefaultMaxTTL is the longest time to live that sessions of a quorum may have. A
// node that has lost its data takes no part for as long.
const DefaultMaxTTL = quorum.DefaultMaxTTL

// A Store keeps locks in Redis. It implements [backend.Backend] and is safe for
// concurrent use.
type Store struct {
	// Immutable.
	url    string // without secrets
	engine engine
	err    error // why there is no engine, for Open to report
	nodes  []*redisconn.Node
	prefix string
	maxTTL time.Duration // of a quorum; 0 stands for DefaultMaxTTL
}

// An engine is how locks are kept: on one node or cluster, or by a quorum.
type engine interface {
	Caps() backend.Caps
	Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error)
	Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error)
}

var _ backend.Backend = (*Store)(nil)

// New returns the store in a node, which is a *redis.Client, one for a Sentinel
// included, in a Redis Cluster, which is a *redis.ClusterClient, or, given several
// of the first kind, in a quorum of nodes that know nothing of one another.
//
// The store takes the settings of the clients (addresses, TLS, credentials,
// dialer) for connections of its own, at most three to a node for each session.
// The clients must stay open as long as the store is in use. New does not
// connect: what is wrong is reported by Open.
func New(clients ...redis.UniversalClient) *Store {
	st := &Store{prefix: DefaultPrefix}
	for _, c := range clients {
		n, err := redisconn.NodeOf(c)
		if err != nil && st.err == nil {
			st.err = err
		}
		st.nodes = append(st.nodes, n)
	}
	if len(clients) == 0 {
		st.err = fmt.Errorf("%w: a redis backend without a client", backend.ErrUnsupported)
	}
	return st.init()
}

// WithPrefix returns the store on the same nodes whose keys begin with prefix
// instead of [DefaultPrefix]. Stores with different prefixes know nothing of one
// another.
func (st *Store) WithPrefix(prefix string) *Store {
	other := *st
	other.prefix = prefix
	return other.init()
}

// WithMaxTTL returns the store with another longest time to live of its sessions than
// [DefaultMaxTTL], for a quorum: Open refuses longer ones. A node that has lost its data
// takes no part in the quorum for as long, so it should be the same for all programs
// that use a quorum; nodes remember the longest that they were told.
func (st *Store) WithMaxTTL(longest time.Duration) *Store {
	other := *st
	other.maxTTL = longest
	return other.init()
}

// init makes the engine and the URL.
func (st *Store) init() *Store {
	st.url = urlOf(st.nodes, st.prefix)
	if st.err != nil {
		return st
	}
	if len(st.nodes) > 1 {
		if e, err := quorum.New(st.nodes, st.prefix, st.maxTTL); err != nil {
			st.err = err
		} else {
			st.engine = e
		}
		return st
	}
	if e, err := single.New(st.nodes[0], st.prefix); err != nil {
		st.err = err
	} else {
		st.engine = e
	}
	return st
}

// String returns the store's URL without credentials.
func (st *Store) String() string { return st.url }

// Caps tells what the store guarantees.
func (st *Store) Caps() backend.Caps {
	if st.engine == nil {
		return backend.Caps{}
	}
	return st.engine.Caps()
}

// Open connects and starts a session. It returns an error that wraps
// backend.ErrUnsupported when the server is not fit for locks.
func (st *Store) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	if st.err != nil {
		return nil, st.err
	}
	return st.engine.Open(ctx, ttl, who)
}

// Inspect tells who holds a lock and who waits for it.
func (st *Store) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	if st.err != nil {
		return nil, nil, st.err
	}
	return st.engine.Inspect(ctx, class, name)
}

// urlOf returns the URL of nodes, as people know it.
func urlOf(nodes []*redisconn.Node, prefix string) string {
	var scheme, db string
	var addrs []string
	for _, n := range nodes {
		if n == nil {
			addrs = append(addrs, "?")
			continue
		}
		scheme, db = n.Scheme, n.Path
		addrs = append(addrs, n.Addr)
	}
	if scheme == "" {
		scheme = "redis"
	}
	url := scheme + "://" + strings.Join(addrs, ",") + db
	if prefix != DefaultPrefix {
		sep := "?"
		if strings.Contains(db, "?") {
			sep = "&"
		}
		url += sep + "prefix=" + redisconn.Escape(prefix)
	}
	return url
}
