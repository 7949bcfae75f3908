package contestant

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/bench/testbed"
)

var selectOne = &Contestant{
	ID: "select", Title: "two `select 1`", Store: Postgres, Role: Floor, Only: unshared,
	Says: "a round trip in place of the lock and one in place of the unlock, prepared, by turns on one connection; locks nothing",
	open: func(ctx context.Context, w *testbed.Testbed) (Locks, error) {
		conn, err := pgconn.Connect(ctx, w.PostgresURL)
		if err != nil {
			return nil, err
		}
		one, err := conn.Prepare(ctx, "one", "select 1", nil)
		return &selects{conn: conn, one: one}, err
	},
}

// selects is one connection, which one goroutine has at a time.
type selects struct {
	mu   sync.Mutex
	conn *pgconn.PgConn
	one  *pgconn.StatementDescription
}

func (s *selects) Mutex(string) Lock { return s }

func (s *selects) Lock() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.conn.ExecStatement(context.Background(), s.one, nil, nil, nil).Close()
	return err
}

func (s *selects) Unlock() error { return s.Lock() }
func (s *selects) Close()        { _ = s.conn.Close(context.Background()) }
