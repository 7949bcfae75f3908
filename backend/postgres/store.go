package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dlock-go/dlock/backend"
)

// A Store is a database in which locks are kept. It implements [backend.Backend]
// and is safe for concurrent use.
type Store struct {
	// Immutable.
	name    string
	config  config
	connect func(context.Context) (*pgx.Conn, error)
}

var _ backend.Backend = (*Store)(nil)

// New returns the store in the database to which pgx.ConnectConfig(ctx, c) leads.
// c comes from pgx.ParseConfig, as pgx wants it, and is copied. New does not
// connect. Unless c says otherwise, of several hosts the primary is taken.
func New(c *pgx.ConnConfig, options ...Option) (*Store, error) {
	if c == nil {
		return nil, errors.New("dlock: nil pgx.ConnConfig")
	}
	own := c.Copy()
	if own.ValidateConnect == nil {
		own.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	return newStore(c, func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, hurry(ctx, own)) }, options)
}

// hurry returns a copy of c with which each of its hosts has its share of the time
// that ctx has left. One that accepts connections and says nothing more would
// otherwise keep us from the others until it is no more.
func hurry(ctx context.Context, c *pgx.ConnConfig) *pgx.ConnConfig {
	c = c.Copy()
	hosts := map[string]bool{hostPort(c.Host, c.Port): true}
	for _, f := range c.Fallbacks {
		hosts[hostPort(f.Host, f.Port)] = true
	}
	if deadline, ok := ctx.Deadline(); ok && len(hosts) > 1 {
		share := max(time.Until(deadline)/time.Duration(len(hosts)), 1)
		if c.ConnectTimeout == 0 || c.ConnectTimeout > share {
			c.ConnectTimeout = share
		}
	}
	return c
}

// NewFromPool returns the store in the database of a pool. The connections of its
// sessions are made by the pool, with its hooks, and then taken out of it for
// good: neither do they count among the pool's, nor does its MaxConnLifetime or
// MaxConnIdleTime end them. The pool is not closed with the store. Where its URL
// names several hosts, connect_timeout has to be a small part of the client's TTL:
// a host that says nothing keeps it from the others for as long.
func NewFromPool(p *pgxpool.Pool, options ...Option) (*Store, error) {
	if p == nil {
		return nil, errors.New("dlock: nil pgxpool.Pool")
	}
	return newStore(p.Config().ConnConfig, func(ctx context.Context) (*pgx.Conn, error) {
		c, err := p.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("taking one of at most %d connections of the pool: %w", p.Config().MaxConns, err)
		}
		return c.Hijack(), nil
	}, options)
}

func newStore(c *pgx.ConnConfig, connect func(context.Context) (*pgx.Conn, error), options []Option) (*Store, error) {
	st := &Store{name: storeName(c), config: defaults(), connect: connect}
	for _, option := range options {
		if err := option(&st.config); err != nil {
			return nil, err
		}
	}
	if st.config.namespace != "" {
		return nil, errors.New("dlock: a store has no namespace: dlock.WithNamespace gives its clients one")
	}
	return st, nil
}

// String returns the URL of the database, without password and parameters.
func (st *Store) String() string { return st.name }

// Caps tells what the store guarantees. Nobody is told that others wait for what
// he holds: the server does not say that to anybody who does not ask.
func (st *Store) Caps() backend.Caps {
	return backend.Caps{
		Queue:     true,
		Notify:    true,
		Fencing:   st.config.tokens,
		Processes: true,
		Inspect:   true,
	}
}

// Open connects the session that is to hold locks, and makes the sequence of the
// fencing tokens if it is missing.
func (st *Store) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	s, err := st.open(ctx, ttl, who)
	if err != nil {
		return nil, unopened(err)
	}
	return s, nil
}

func (st *Store) open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (*session, error) {
	begun := time.Now()
	c, server, err := st.dial(ctx)
	if err != nil {
		return nil, err
	}
	m, err := st.prepare(ctx, c, server, ttl, who)
	if err != nil {
		giveBack(c, server)
		return nil, err
	}
	w, err := st.wire(c, server, holding, ttl, who)
	if err != nil {
		return nil, err
	}
	session := newSession(st, ttl, who, w, m, time.Since(begun))
	if why := server.cramped(st.config.locks); why != nil {
		session.mu.Lock()
		defer session.mu.Unlock()
		session.mail.Send(backend.Event{Kind: backend.EventNotice, Err: why})
	}
	return session, nil
}

// prepare makes a holder session of a connection, and returns its marker. When all is
// as it should be that takes one round trip.
func (st *Store) prepare(ctx context.Context, c *pgx.Conn, s server, ttl time.Duration, who backend.ClientInfo) (marker, error) {
	if s.pooled(c) {
		if err := st.checkPooler(ctx, c); err != nil {
			return 0, err
		}
	}
	stages := furnishing(holding, ttl, who)
	if st.config.tokens && s.refused != nil {
		return 0, s.refused
	}
	if f := s.found; st.config.tokens && (f == nil || st.unusable(f) != nil || f.former || !f.commented()) {
		if err := setUp(ctx, c, stages); err != nil {
			return 0, err
		}
		if err := st.findSequence(ctx, c, f); err != nil {
			return 0, err
		}
		stages = nil
	}
	for range 3 {
		var answer []string
		m := st.newMarker()
		if st.config.tokens {
			stages = append(stages, st.lift(m, &answer))
		} else {
			stages = append(stages, m.look(&answer))
		}
		// When it waits for nothing any more.
		stages = append(stages, stage{doing: "setting the connection up", sql: setting(bounds(holding, ttl))})
		if err := setUp(ctx, c, stages); err != nil {
			return 0, err
		}
		if slices.Equal(answer, []string{"t"}) {
			return m, nil
		}
		stages = nil // Somebody has the same.
	}
	return 0, errors.New("other sessions have the markers of this one: is the source of random numbers broken?")
}

// checkPooler finds out whether the pooler that c leads to keeps sessions apart.
// One that does not has several sessions share a backend, and with it its locks:
// then another connection that is in a transaction either has the backend that c
// had, or leaves c with another one. Until that is known nothing is set.
func (st *Store) checkPooler(ctx context.Context, c *pgx.Conn) error {
	other, _, err := st.dial(ctx)
	switch {
	case err != nil && (ctx.Err() != nil || sqlState(err) == protocolViolation):
		return fmt.Errorf("the connection leads to a pooler, which gives no second one while the first is there: its pool is too small, or full (default_pool_size of PgBouncer); a client needs two at least, and up to %d: %w", st.config.connections, err)
	case err != nil:
		return fmt.Errorf("opening a second connection, to see whether a pooler keeps sessions apart: %w", err)
	}
	defer hangUp(other)
	if err := st.compareBackends(ctx, c, other); err != nil {
		return fmt.Errorf("seeing whether a pooler keeps sessions apart: %w", err)
	}
	return nil
}

// protocolViolation is the code of many an answer of PgBouncer: of its statement mode to
// a transaction, and to who has waited for a connection for too long.
const protocolViolation = "08P01"

func (st *Store) compareBackends(ctx context.Context, c, other *pgx.Conn) error {
	// Some rounds are passed by chance where others keep the pooler busy.
	const rounds = 6
	backends := make(map[*pgx.Conn]int64)
	kept := func(conn *pgx.Conn) error {
		pid, err := backendOf(ctx, conn)
		if err != nil {
			return err
		}
		if backends[conn] == 0 {
			backends[conn] = pid
		}
		if pid != backends[conn] || backends[c] == backends[other] {
			return errPooler // c might have to wait for the end of a transaction
		}
		return nil
	}
	for range rounds {
		// The backend that was free last is what a pooler takes next, so c is given that
		// of other where both have none of their own.
		for _, conn := range []*pgx.Conn{other, c} {
			if err := kept(conn); err != nil {
				return err
			}
		}
		tx, err := other.Begin(ctx)
		if sqlState(err) == protocolViolation {
			return fmt.Errorf("%w: %w", errPooler, err)
		}
		if err != nil {
			return err
		}
		for _, conn := range []*pgx.Conn{other, c} {
			if err := kept(conn); err != nil {
				return err
			}
		}
		if err := tx.Rollback(ctx); err != nil {
			return err
		}
	}
	return nil
}

var errPooler = fmt.Errorf("%w: the connection leads to a pooler that shares backends between sessions, as PgBouncer does in its transaction mode, and their locks with them; use its session mode or connect to the server itself", backend.ErrUnsupported)

// backendOf returns the backend that serves a connection at the moment.
func backendOf(ctx context.Context, c *pgx.Conn) (pid int64, err error) {
	answers, err := c.PgConn().Exec(ctx, "select pg_backend_pid()").ReadAll()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(answers[0].Rows[0][0]), 10, 64)
}
