package contestant

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dlock-go/dlock/bench/testbed"
)

var advisory = &Contestant{
	ID: "advisory", Title: "advisory locks by hand", Store: Postgres, Role: Peer, Holds: mostConnections,
	Says: "pg_advisory_lock on a connection of its own for each lock that is held or awaited, from a pgxpool of 90 connections at most; " +
		"its semaphore tries the slots in a random order and then waits for one of them",
	open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
		pool, err := openPool(ctx, w)
		return advisoryLocks{pool}, err
	},
}

// mostConnections is what a program can reckon with on a server with the default
// of 100 connections.
const mostConnections = 90

func openPool(ctx context.Context, w *testbed.Testbed) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(w.PostgresURL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = mostConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return pool, pool.Ping(ctx)
}

type advisoryLocks struct{ *pgxpool.Pool }

func (l advisoryLocks) Mutex(name string) Lock {
	return &advisoryLock{
		pool:   l.Pool,
		key:    advisoryKey(name),
		lock:   "select pg_advisory_lock($1)",
		unlock: "select pg_advisory_unlock($1)",
	}
}

func (l advisoryLocks) RWMutex(name string) (write, read Lock) {
	return l.Mutex(name), &advisoryLock{
		pool:   l.Pool,
		key:    advisoryKey(name),
		lock:   "select pg_advisory_lock_shared($1)",
		unlock: "select pg_advisory_unlock_shared($1)",
	}
}

func advisoryKey(name string) int64 {
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

type advisoryLock struct {
	pool         *pgxpool.Pool
	key          int64
	lock, unlock string
	conn         *pgxpool.Conn
}

func (l *advisoryLock) Lock() (err error) {
	ctx := context.Background()
	if l.conn, err = l.pool.Acquire(ctx); err != nil {
		return err
	}
	_, err = l.conn.Exec(ctx, l.lock, l.key)
	return err
}

func (l *advisoryLock) TryLock() (ok bool, err error) {
	ctx := context.Background()
	if l.conn, err = l.pool.Acquire(ctx); err != nil {
		return false, err
	}
	err = l.conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", l.key).Scan(&ok)
	if !ok {
		l.conn.Release()
	}
	return ok, err
}

func (l *advisoryLock) Unlock() error {
	defer l.conn.Release()
	var ok bool
	err := l.conn.QueryRow(context.Background(), l.unlock, l.key).Scan(&ok)
	if err == nil && !ok {
		err = errors.New("the lock was lost")
	}
	return err
}

func (l advisoryLocks) Semaphore(name string, limit int) Lock {
	return &advisorySemaphore{advisoryLock: *l.Mutex(name).(*advisoryLock), slots: limit, base: advisoryKey(name)}
}

// advisorySemaphore has one key for each ticket.
type advisorySemaphore struct {
	advisoryLock
	base  int64
	slots int
}

func (s *advisorySemaphore) Lock() (err error) {
	ctx := context.Background()
	if s.conn, err = s.pool.Acquire(ctx); err != nil {
		return err
	}
	var free bool
	for _, slot := range rand.Perm(s.slots) {
		s.key = s.base + int64(slot)
		if err := s.conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", s.key).Scan(&free); err != nil || free {
			return err
		}
	}
	_, err = s.conn.Exec(ctx, s.lock, s.key)
	return err
}
