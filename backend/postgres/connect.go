package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// oldest is the first version of Postgres that will do. Before it the server ends no
// session that it does not hear of, and does not tell since when a lock is waited for.
const oldest = 14_00_00

// A role is what a connection is for.
type role uint8

const (
	holding role = iota + 1 // it holds locks and never waits for one
	waiting                 // it waits for locks
)

// gateSlice bounds how long a statement waits for a lock in one go. The longer
// it does, the longer it keeps vacuum from removing what was deleted since.
const gateSlice = 5 * time.Minute

// settings returns what a connection sets for itself, whatever the role and the
// database have set. Those of a later version than the server's are left out.
func settings(ttl time.Duration, who backend.ClientInfo) [][2]string {
	return [][2]string{
		{"application_name", applicationName(who)},
		{"client_encoding", "UTF8"},
		{"client_min_messages", "error"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"}, // See bounds.
		{"jit", "off"},
		{"lock_timeout", "0"},
		{"plan_cache_mode", "force_generic_plan"},
		{"search_path", "pg_catalog, pg_temp"},
		{"standard_conforming_strings", "on"},
		{"statement_timeout", "0"},
		{"synchronous_commit", "off"}, // See lift.
		// Together no less than ttl: who is cut off counts himself as lost before that.
		{"tcp_keepalives_count", "3"},
		{"tcp_keepalives_idle", seconds(ttl / 4)},
		{"tcp_keepalives_interval", seconds(ttl / 4)},
		{"tcp_user_timeout", millis(ttl)},
		{"transaction_timeout", "0"},
	}
}

// bounds returns what a connection sets when it is open: until then whoever opens it
// says how long that may take.
func bounds(r role, ttl time.Duration) [][2]string {
	statement, lock := ttl, ttl/6 // It never waits for long: all that the client holds would.
	if r == waiting {
		statement, lock = 0, gateSlice
	}
	return [][2]string{
		{"idle_session_timeout", millis(ttl)}, // A lease that the server enforces.
		{"lock_timeout", millis(lock)},
		{"statement_timeout", millis(statement)},
	}
}

// setting returns the statement that sets all that a server of its version knows.
func setting(all [][2]string) string {
	var set strings.Builder
	set.WriteString("select set_config(s.name, s.value, false) from (values ")
	for i, setting := range all {
		if i > 0 {
			set.WriteString(", ")
		}
		fmt.Fprintf(&set, "('%s', %s)", setting[0], pgsql.Text(setting[1]))
	}
	set.WriteString(") s(name, value) where current_setting(s.name, true) is not null")
	return set.String()
}

func millis(d time.Duration) string {
	return strconv.FormatInt((d + time.Millisecond - 1).Milliseconds(), 10)
}

func seconds(d time.Duration) string { return strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))) }

// furnishing returns the stages that make a connection what it is for, whatever it was
// before. A pooler may have had it from a client that was killed.
func furnishing(r role, ttl time.Duration, who backend.ClientInfo) []stage {
	const doing = "setting the connection up"
	stages := []stage{
		{doing: doing, sql: "select pg_advisory_unlock_all()"},
		{doing: doing, sql: "deallocate all"},
		{doing: doing, sql: setting(settings(ttl, who))},
		// How often the server looks whether somebody who waits is still there. Some systems
		// cannot.
		{doing: doing, sql: "select set_config('client_connection_check_interval', '1000', false) where current_setting('client_connection_check_interval', true) is not null", optional: true},
	}
	if r == waiting {
		stages = append(stages, stage{doing: doing, sql: setting(bounds(r, ttl))})
	}
	return stages
}

// server is what a connection learns about its server.
type server struct {
	version  int
	pid      int64
	activity int    // bytes that pg_stat_activity shows of a statement
	room     int64  // entries of the table of locks
	found    *found // the sequence, or nil
	refused  error  // why it could not be looked for
}

// dial opens a connection and makes sure that it leads to a server that will do. It
// changes nothing there.
func (st *Store) dial(ctx context.Context) (*pgx.Conn, server, error) {
	c, err := st.connect(ctx)
	if err != nil {
		return nil, server{}, fmt.Errorf("connecting: %w", err)
	}
	s, err := st.greet(ctx, c)
	if err != nil {
		hangUp(c)
		return nil, server{}, err
	}
	return c, s, nil
}

// introduction asks a server what it is. Its answer is taken as text, because the
// connection may have settings with which pgx does not work.
const introduction = "select current_setting('server_version_num'), pg_is_in_recovery()::int, pg_backend_pid(), coalesce(pg_size_bytes(current_setting('track_activity_query_size', true)), 1024), current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)"

// greet learns what a connection leads to.
func (st *Store) greet(ctx context.Context, c *pgx.Conn) (s server, err error) {
	answers, err := c.PgConn().Exec(ctx, introduction+"; "+st.looking()).ReadAll()
	if len(answers) == 0 || answers[0].Err != nil || err != nil && sqlState(err) == "" {
		return s, fmt.Errorf("asking the server what it is: %w", err)
	}
	var standby int
	row := string(bytes.Join(answers[0].Rows[0], []byte(" ")))
	if _, err := fmt.Sscan(row, &s.version, &standby, &s.pid, &s.activity, &s.room); err != nil {
		return s, fmt.Errorf("the server introduces itself with %q: %w", row, err)
	}
	switch {
	case s.version < oldest:
		return s, fmt.Errorf("%w: the server has version %d of Postgres, and at least %d is needed", backend.ErrUnsupported, s.version/10000, oldest/10000)
	case standby != 0:
		return s, errStandby
	case err != nil:
		s.refused = fmt.Errorf("looking for the sequence of the fencing tokens: %w", err)
	case len(answers[1].Rows) > 0:
		s.found, err = st.parseFound(answers[1].Rows[0])
	}
	return s, err
}

// cramped returns what there is to say about the server's room for as many locks as a
// client may have, or nil: all who use the server share it.
func (s *server) cramped(locks int) error {
	if int64(locks) <= s.room/4 {
		return nil
	}
	return fmt.Errorf("the client may have %d locks, which is more than a quarter of the server's room for %d: allow it fewer (dlock_locks), or raise max_locks_per_transaction", locks, s.room)
}

// errStandby says that a server does not do, now.
var errStandby = errors.New("the server is a standby, whose locks exclude nobody on the primary")

// wire takes a connection over.
func (st *Store) wire(c *pgx.Conn, s server, r role, ttl time.Duration, who backend.ClientInfo) (*pgwire.Conn, error) {
	statements := pgsql.Holding(st.token())
	if r == waiting {
		statements = pgsql.Waiting(st.token())
	}
	return pgwire.New(c, s.pid, s.pooled(c), ttl, pgsql.Card(who, s.activity), statements)
}

func (st *Store) token() string {
	if !st.config.tokens {
		return pgsql.TokenOf("")
	}
	return pgsql.TokenOf(st.sequence())
}

// pooled reports whether a connection leads to a pooler.
func (s *server) pooled(c *pgx.Conn) bool { return int64(c.PgConn().PID()) != s.pid }

// giveBack closes a connection that was set up. A pooler may give it to others, so
// nothing of ours is left set.
func giveBack(c *pgx.Conn, s server) {
	if s.pooled(c) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = c.PgConn().Exec(ctx, pgwire.Resetting).ReadAll() // It may have failed before.
	}
	hangUp(c)
}

// hangUp closes a connection that is no longer wanted, and waits for nobody.
func hangUp(c *pgx.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ctx)
}

// applicationName is what pg_stat_activity shows everybody of a client.
func applicationName(who backend.ClientInfo) string {
	const most = 63
	host, pid := printable(who.Host), " "+strconv.Itoa(who.PID)
	const prefix = "dlock "
	if n := most - len(prefix) - len(pid); len(host) > n {
		host = host[:n]
	}
	return prefix + host + pid
}

// printable returns s in ASCII, as the server does with application names.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

// sqlState returns the code of an error of the server, or "".
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
