package contestant

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dlock-go/dlock/bench/world"
)

var selectOne = &Contestant{
	ID: "select", Title: "two `select 1`", Store: Postgres, Role: Floor, Hollow: true,
	Says: "a round trip in place of the lock and one in place of the unlock, over a pgxpool of 90 connections at most; locks nothing",
	open: func(ctx context.Context, w *world.World) (Locks, error) {
		pool, err := openPool(ctx, w)
		return selects{pool}, err
	},
}

// mostConnections is what a program can reckon with on a server with the default
// of 100 connections.
const mostConnections = 90

func openPool(ctx context.Context, w *world.World) (*pgxpool.Pool, error) {
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

type selects struct{ *pgxpool.Pool }

func (s selects) Mutex(string) Lock { return selector{s.Pool} }

type selector struct{ pool *pgxpool.Pool }

func (s selector) Lock() error {
	_, err := s.pool.Exec(context.Background(), "select 1")
	return err
}

func (s selector) Unlock() error { return s.Lock() }
