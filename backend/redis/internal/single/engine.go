package single

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/internal/mailbox"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// An Engine keeps locks on one node, or on one cluster.
type Engine struct {
	// Immutable.
	node    *redisconn.Node
	prefix  string
	Horizon time.Duration // of keys, or 0

	FitEvery time.Duration // how often a session looks whether its servers are fit
}

// New returns the engine on one node or cluster.
func New(n *redisconn.Node, prefix string) (*Engine, error) {
	if n.Cluster != nil && strings.ContainsAny(prefix, "{}") {
		return nil, fmt.Errorf("%w: the prefix of a Redis Cluster has braces, which are for its slots", backend.ErrUnsupported)
	}
	return &Engine{node: n, prefix: prefix, FitEvery: redislock.FitEvery}, nil
}

// Caps tells what the store guarantees.
func (e *Engine) Caps() backend.Caps {
	return backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Processes: true, Inspect: true}
}

// place returns in which shard a lock lies.
func (e *Engine) place(class backend.Class, name string) int {
	if e.node.Cluster == nil {
		return 0
	}
	return ShardOf(class, name)
}

// base returns what the keys of a shard begin with.
func (e *Engine) base(number int) string {
	if e.node.Cluster == nil {
		return e.prefix
	}
	return e.prefix + "{" + Tags[number] + "}:"
}

// conns is how many connections a session may have to a server for its batches:
// one that is in use, and one that is being dialled in place of another that hangs.
// Its subscription has one more.
const conns = 2

// least is the shortest horizon of a key. It only matters how long the keys of
// the dead stay, which nobody minds.
const least = 10 * time.Minute

// Open starts a session.
func (e *Engine) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	if ttl < 10*time.Millisecond {
		return nil, fmt.Errorf("%w: a time to live of %v", backend.ErrUnsupported, ttl)
	}
	s := &session{
		engine:    e,
		wire:      new(redisconn.Wire),
		ttl:       ttl,
		horizon:   cmp.Or(e.Horizon, max(20*ttl, least)),
		patience:  ttl / 3,
		id:        redislock.NewID(),
		who:       who,
		listening: make(chan struct{}),
		watching:  make(chan struct{}),
		finished:  make(chan *shard, shards),
		claims:    make(map[uint64]*claim),
	}
	s.mail = mailbox.New(&s.mu)
	s.life, s.end = context.WithCancel(context.Background())
	s.client = e.node.Connect(s.wire, conns, ttl)
	if err := s.begin(ctx); err != nil {
		s.end()
		s.client.Close()
		return nil, fmt.Errorf("redis: %w", err)
	}
	return s, nil
}

// Inspect tells who holds a lock and who waits for it. It uses a connection of its own.
func (e *Engine) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	if class < backend.Mutex || class > backend.Semaphore {
		return nil, nil, fmt.Errorf("%w: class %d", backend.ErrUnsupported, class)
	}
	w := new(redisconn.Wire)
	client := e.node.Connect(w, 1, 10*time.Second)
	defer client.Close()
	defer w.CutAfter(ctx)()
	base := e.base(e.place(class, name))
	args := inspectScript.Args(nil)
	v, err := inspectScript.Call(ctx, client, append(args, 1, base+redislock.Subject(class, name), base))
	if err == nil {
		holders, waiters, err = standings(class, v)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("redis: %w", redisconn.Reason(ctx, err))
	}
	return holders, waiters, nil
}

// standings reads the answer of inspect.lua.
func standings(class backend.Class, answer any) (holders, waiters []backend.Participant, err error) {
	malformed := fmt.Errorf("malformed answer of Inspect: %.100q", fmt.Sprint(answer))
	parts, _ := answer.([]any)
	if len(parts) != 2 {
		return nil, nil, malformed
	}
	list, _ := parts[1].([]any)
	for _, entry := range list {
		fields, _ := entry.([]any)
		if len(fields) != 5 {
			return nil, nil, malformed
		}
		var f [5]string
		for i := range f {
			f[i], _ = fields[i].(string)
		}
		ordinal, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return nil, nil, malformed
		}
		s := backend.Participant{Mode: backend.Exclusive, Since: backend.OrdinalTime(ordinal), ClientInfo: backend.ClientInfo{Host: f[2], Reason: f[4]}}
		s.PID, _ = strconv.Atoi(f[3])
		if f[0] == "p" || f[0] == "h" && parts[0] == "r" && class == backend.RWMutex {
			s.Mode = backend.Shared
		}
		if f[0] == "h" {
			s.Ordinal = ordinal
			holders = append(holders, s)
		} else {
			waiters = append(waiters, s)
		}
	}
	slices.SortFunc(holders, func(a, b backend.Participant) int { return a.Since.Compare(b.Since) })
	return holders, waiters, nil
}
