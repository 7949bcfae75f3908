package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/pgtest"
)

// patience bounds what has to happen some time.
const patience = time.Minute

// A fixture is a database for a test, with connections that use and watch it.
type fixture struct {
	*testing.T
	server   *pgtest.Server
	database string
	role     string // that app makes
	ctx      context.Context
	watch    *pgx.Conn // sees of all connections and locks of the server those of the database
}

// shared is the server of the tests that leave theirs as it is. It ends with the
// process.
var shared = sync.OnceValues(func() (*pgtest.Server, error) {
	s, err := pgtest.Start(quick("max_connections", "400"))
	if err != nil {
		return nil, err
	}
	_, err = s.SQL(watching())
	return s, err
})

// watching has a connection see what concerns its own database, without the markers of
// sessions.
func watching() string {
	with, without := new(Store), new(Store)
	with.config, without.config = defaults(), config{}
	return fmt.Sprintf(`CREATE SCHEMA watching;
CREATE VIEW watching.pg_stat_activity AS SELECT * FROM pg_catalog.pg_stat_activity WHERE datname = current_database();
CREATE VIEW watching.pg_locks AS SELECT * FROM pg_catalog.pg_locks WHERE pid IN (SELECT pid FROM watching.pg_stat_activity)
	AND NOT coalesce(locktype = 'advisory' AND objsubid = 1 AND classid IN (%d, %d), false)`, uint32(with.kind()), uint32(without.kind()))
}

// databases counts those of the shared server.
var databases atomic.Int64

// newFixture makes a database on the shared server.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	server, err := shared()
	if errors.Is(err, pgtest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("test", databases.Add(1))
	if err := server.CreateDatabase(name); err != nil {
		t.Fatal(err)
	}
	return rigOn(t, server, name)
}

// newServer starts a server that a test stops, or that has settings of its own, name
// by name and value by value.
func newServer(t *testing.T, settings ...string) *fixture {
	t.Helper()
	server := pgtest.New(t, quick(settings...))
	if !slices.Contains(settings, "max_locks_per_transaction") { // Then there is no room for much.
		if _, err := server.SQL(watching()); err != nil {
			t.Fatal(err)
		}
	}
	return rigOn(t, server, pgtest.Database)
}

// quick is the configuration of a server whose data need not survive anything, and
// that asks for no password.
func quick(settings ...string) pgtest.Config {
	c := pgtest.Config{Trust: true, Settings: map[string]string{"fsync": "off", "deadlock_timeout": "100ms", "shared_buffers": "16MB"}}
	for i := 0; i < len(settings); i += 2 {
		c.Settings[settings[i]] = settings[i+1]
	}
	return c
}

func rigOn(t *testing.T, server *pgtest.Server, database string) *fixture {
	t.Helper()
	// A test waits for one thing after another, beside others that do.
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	t.Cleanup(cancel)
	r := &fixture{T: t, server: server, database: database, role: "app_" + database, ctx: ctx}
	r.watch = r.connect(r.url(), func(c *pgx.ConnConfig) { c.RuntimeParams["search_path"] = "watching, pg_catalog" })
	return r
}

// url returns the address of the database.
func (r *fixture) url(parameters ...string) string {
	return r.server.DatabaseURL(r.database, parameters...)
}

func (r *fixture) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *fixture) connect(url string, change ...func(*pgx.ConnConfig)) *pgx.Conn {
	r.Helper()
	config, err := pgx.ParseConfig(url)
	r.must(err)
	for _, c := range change {
		c(config)
	}
	conn, err := pgx.ConnectConfig(r.ctx, config)
	r.must(err)
	r.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (r *fixture) begin(conn *pgx.Conn) pgx.Tx {
	r.Helper()
	tx, err := conn.Begin(r.ctx)
	r.must(err)
	return tx
}

// tx begins a transaction on a connection of its own.
func (r *fixture) tx() pgx.Tx {
	r.Helper()
	return r.begin(r.connect(r.url()))
}

func (r *fixture) exec(conn *pgx.Conn, sql string, args ...any) {
	r.Helper()
	if _, err := conn.Exec(r.ctx, sql, args...); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](r *fixture, conn *pgx.Conn, sql string, args ...any) (answer T) {
	r.Helper()
	if err := conn.QueryRow(r.ctx, sql, args...).Scan(&answer); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// client opens a client, which is closed with the test.
func (r *fixture) client(url string, options ...dlock.Option) *dlock.Client {
	r.Helper()
	c, err := dlock.Open(r.ctx, url, append([]dlock.Option{dlock.WithLogger(slog.New(slog.DiscardHandler))}, options...)...)
	r.must(err)
	r.end(c)
	return c
}

// over returns a client of a store, which is closed with the test.
func (r *fixture) over(b backend.Backend, options ...dlock.Option) *dlock.Client {
	r.Helper()
	c, err := dlock.New(b, append([]dlock.Option{dlock.WithLogger(slog.New(slog.DiscardHandler))}, options...)...)
	r.must(err)
	r.end(c)
	return c
}

func (r *fixture) end(c *dlock.Client) {
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = c.Close(ctx) // the server may be down
	})
}

// An acquirer is a lock of a client.
type acquirer interface {
	Acquire(context.Context) (*dlock.Hold, error)
	TryLockContext(context.Context) (bool, error)
	UnlockContext(context.Context) error
}

// A reader is the read side of a reader-writer lock.
type reader struct{ *dlock.RWMutex }

func (l reader) Acquire(ctx context.Context) (*dlock.Hold, error) { return l.AcquireRead(ctx) }
func (l reader) TryLockContext(ctx context.Context) (bool, error) { return l.TryRLockContext(ctx) }
func (l reader) UnlockContext(ctx context.Context) error          { return l.RUnlockContext(ctx) }

// acquire takes a lock.
func (r *fixture) acquire(l acquirer) *dlock.Hold {
	r.Helper()
	h, err := l.Acquire(r.ctx)
	r.must(err)
	return h
}

// acquiring takes a lock in a goroutine. The channel is closed when that fails.
func (r *fixture) acquiring(l acquirer) <-chan *dlock.Hold {
	granted := make(chan *dlock.Hold, 1)
	go func() {
		defer close(granted)
		h, err := l.Acquire(r.ctx)
		if err != nil {
			r.Error(err)
			return
		}
		granted <- h
	}()
	return granted
}

// available checks whether a lock is to be had.
func (r *fixture) available(l acquirer, want bool) {
	r.Helper()
	ok, err := l.TryLockContext(r.ctx)
	r.must(err)
	if ok {
		r.must(l.UnlockContext(r.ctx))
	}
	if ok != want {
		r.Fatalf("a lock is available: %v", ok)
	}
}

// comes waits for something that a channel tells.
func comes[T any](r *fixture, what string, c <-chan T) T {
	r.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			r.Fatalf("there will be no %s", what)
		}
		return v
	case <-time.After(patience):
		r.Fatalf("in %v there was no %s", patience, what)
		panic("unreachable")
	}
}

// loses waits for the loss of a hold.
func (r *fixture) loses(h *dlock.Hold) {
	r.Helper()
	select {
	case <-h.Lost():
	case <-time.After(patience):
		r.Fatalf("in %v there was no loss", patience)
	}
	runtime.KeepAlive(h) // What is garbage is released, and not lost.
}

// backends returns the backends that serve clients of dlock.
func (r *fixture) backends() []int32 {
	r.Helper()
	return ask[[]int32](r, r.watch, "SELECT coalesce(array_agg(pid ORDER BY pid), '{}') FROM pg_stat_activity WHERE application_name LIKE 'dlock %'")
}

// locks returns how many advisory locks a connection holds, or waits for.
func (r *fixture) locks(conn *pgx.Conn, granted bool) int {
	r.Helper()
	return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1 AND granted = $2", conn.PgConn().PID(), granted)
}

// waits returns when a connection waits for a lock.
func (r *fixture) waits(conn *pgx.Conn) {
	r.Helper()
	r.until("a connection waits", func() bool { return r.locks(conn, false) == 1 })
}

// waiters returns when n wait for advisory locks.
func (r *fixture) waiters(n int) {
	r.Helper()
	r.until(fmt.Sprintf("%d wait", n), func() bool { return r.waiting() == n })
}

// waiting returns how many connections wait for an advisory lock.
func (r *fixture) waiting() int {
	r.Helper()
	return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
}

func (r *fixture) until(what string, met func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("in %v it did not happen that %s", patience, what)
		}
	}
}
