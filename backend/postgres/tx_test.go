package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/pgtest"
)

// A txWay is a way to lock in a transaction.
type txWay struct {
	name      string
	class     backend.Class
	exclusive bool
	lock      func(context.Context, pgx.Tx, string, ...Option) error
	try       func(context.Context, pgx.Tx, string, ...Option) (bool, error)
}

var txWays = []txWay{
	{"mutex", backend.Mutex, true, LockTx, TryLockTx},
	{"read", backend.RWMutex, false, RLockTx, TryRLockTx},
	{"write", backend.RWMutex, true, WLockTx, TryWLockTx},
}

// free checks whether a lock could be had exclusively.
func (r *fixture) free(tx pgx.Tx, class backend.Class, name string, want bool, options ...Option) {
	r.Helper()
	try := TryLockTx
	if class == backend.RWMutex {
		try = TryWLockTx
	}
	sub, err := tx.Begin(r.ctx)
	r.must(err)
	got, err := try(r.ctx, sub, name, options...)
	r.must(err)
	r.must(sub.Rollback(r.ctx))
	if got != want {
		r.Fatalf("%v %q is free: %v", class, name, got)
	}
}

func TestLockInTransactionEndsWithIt(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	other := r.tx()
	conn := r.connect(r.url())
	for _, way := range txWays {
		for _, try := range []bool{false, true} {
			for _, commit := range []bool{false, true} {
				name := fmt.Sprintf("%s %v %v", way.name, try, commit)
				tx := r.begin(conn)
				if try {
					ok, err := way.try(r.ctx, tx, name)
					if r.must(err); !ok {
						t.Fatalf("%s is busy", name)
					}
				} else {
					r.must(way.lock(r.ctx, tx, name))
				}
				r.free(other, way.class, name, false)
				if commit {
					r.must(tx.Commit(r.ctx))
				} else {
					r.must(tx.Rollback(r.ctx))
				}
				r.free(other, way.class, name, true)
				if n := r.locks(conn, true); n != 0 {
					t.Errorf("%s leaves %d locks on the connection", name, n)
				}
			}
		}
	}
}

// A lock by hand stands for the one of a session.
func TestLockInTransactionExcludesSessions(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	session := r.connect(r.url())
	for _, way := range txWays {
		for _, shared := range []string{"", "_shared"} {
			name := way.name + shared
			key := nameKey(way.class, name).value
			tx := r.tx()
			r.exec(session, "SELECT pg_advisory_lock"+shared+"($1)", key)
			ok, err := way.try(r.ctx, tx, name)
			r.must(err)
			if want := shared != "" && !way.exclusive; ok != want {
				t.Fatalf("%s beside a session with pg_advisory_lock%s: %v", way.name, shared, ok)
			}
			if n := r.locks(tx.Conn(), true); (n == 0) == ok {
				t.Errorf("%s after a try that said %v holds %d locks", way.name, ok, n)
			}
			r.exec(session, "SELECT pg_advisory_unlock"+shared+"($1)", key)
			r.must(way.lock(r.ctx, tx, name))
			got := ask[bool](r, session, "SELECT pg_try_advisory_lock"+shared+"($1)", key)
			if want := shared != "" && !way.exclusive; got != want {
				t.Fatalf("pg_try_advisory_lock%s beside %s: %v", shared, way.name, got)
			}
			r.must(tx.Rollback(r.ctx))
		}
	}
}

func TestKeysOfLocksInTransactions(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	holder, other := r.tx(), r.tx()
	r.must(LockTx(r.ctx, holder, "name"))
	r.free(other, backend.Mutex, "name", false)
	r.free(other, backend.Mutex, "Name", true)
	r.free(other, backend.RWMutex, "name", true)
	r.free(other, backend.Mutex, "name", true, WithNamespace("space"))
	r.must(LockTx(r.ctx, holder, "name", WithNamespace("space")))
	r.free(other, backend.Mutex, "name", false, WithNamespace("space"))

	key := nameKey(backend.Mutex, "name")
	high, low := key.numbers()
	if !ask[bool](r, r.watch, "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND classid = $1 AND objid = $2 AND objsubid = 1 AND pid = $3",
		uint32(high), uint32(low), holder.Conn().PgConn().PID()) {
		t.Error("the lock is not in pg_locks")
	}

	// (0) and (0, 0) are different locks, and the classes of a key are one.
	zero, pair := WithKeys(func(string) Key { return Int64Key(0) }), WithKeys(func(string) Key { return PairKey(0, 0) })
	r.must(LockTx(r.ctx, holder, "any", zero))
	r.free(other, backend.Mutex, "some", false, zero)
	r.free(other, backend.RWMutex, "some", false, zero)
	r.free(other, backend.Mutex, "some", true, pair)
	r.must(RLockTx(r.ctx, holder, "any", pair))
	r.free(other, backend.Mutex, "some", false, pair)
	for sql, want := range map[string]bool{
		"SELECT pg_try_advisory_xact_lock_shared(0)":    false,
		"SELECT pg_try_advisory_xact_lock_shared(0, 0)": true,
		"SELECT pg_try_advisory_xact_lock(0, 0)":        false,
	} {
		if got := ask[bool](r, r.watch, sql); got != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
}

// session takes and gives back a lock as a session that waits for it does. held
// is called while it has it.
func (r *fixture) session(conn *pgx.Conn, key Key, shared string, held func()) error {
	gate := key.derive("gate")
	for _, step := range []struct {
		sql  string
		key  int64
		then func()
	}{
		{"SELECT pg_advisory_lock" + shared + "($1)", gate, nil},
		{"SELECT pg_advisory_lock" + shared + "($1)", key.value, nil},
		{"SELECT pg_advisory_unlock" + shared + "($1)", gate, held},
		{"SELECT pg_advisory_unlock" + shared + "($1)", key.value, nil},
	} {
		if _, err := conn.Exec(r.ctx, step.sql, step.key); err != nil {
			return err
		}
		if step.then != nil {
			step.then()
		}
	}
	return nil
}

func TestTransactionsAndSessionsAreServedInOrder(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	key := nameKey(backend.Mutex, "queue")
	holder := r.tx()
	r.must(LockTx(r.ctx, holder, "queue"))
	var running sync.WaitGroup
	granted := make(chan int, 6)
	for i := range cap(granted) {
		conn := r.connect(r.url())
		running.Go(func() {
			if i%2 == 0 {
				if err := r.session(conn, key, "", func() { granted <- i }); err != nil {
					t.Error(err)
				}
				return
			}
			tx, err := conn.Begin(r.ctx)
			if err == nil {
				if err = LockTx(r.ctx, tx, "queue"); err == nil {
					granted <- i
					err = tx.Commit(r.ctx)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		r.waits(conn)
	}
	r.free(r.tx(), backend.Mutex, "queue", false)
	r.must(holder.Commit(r.ctx))
	running.Wait()
	for i := range cap(granted) {
		if got := <-granted; got != i {
			t.Errorf("waiter %d comes in place %d", got, i)
		}
	}
}

func TestTryInTransactionDoesNotPassAWaiter(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	tx := r.tx()
	gate := nameKey(backend.RWMutex, "queue").derive("gate")
	r.exec(r.watch, "SELECT pg_advisory_lock($1)", gate)
	for _, way := range txWays[1:] {
		ok, err := way.try(r.ctx, tx, "queue")
		if r.must(err); ok {
			t.Errorf("%s passes a writer that waits", way.name)
		}
	}
	r.exec(r.watch, "SELECT pg_advisory_unlock($1)", gate)
	if n := r.locks(tx.Conn(), true); n != 0 {
		t.Errorf("tries in vain leave %d locks", n)
	}
	// Readers that wait keep nobody out but writers.
	r.exec(r.watch, "SELECT pg_advisory_lock_shared($1)", gate)
	ok, err := TryRLockTx(r.ctx, tx, "queue")
	if r.must(err); !ok {
		t.Error("a reader does not pass the gate beside another")
	}
}

func TestReadersInTransactionsOverlapWithSessions(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	tx := r.tx()
	r.must(RLockTx(r.ctx, tx, "shelf"))
	r.must(r.session(r.watch, nameKey(backend.RWMutex, "shelf"), "_shared", func() {}))
	other := r.tx()
	r.must(RLockTx(r.ctx, other, "shelf"))
	r.free(r.tx(), backend.RWMutex, "shelf", false)
}

func TestNobodyStarvesBesideTransactions(t *testing.T) {
	r := newFixture(t)
	key := nameKey(backend.Mutex, "busy")
	var crowd []turner
	for range 2 {
		conn := r.connect(r.url())
		crowd = append(crowd, turner{"session", func(held func()) error { return r.session(conn, key, "", held) }},
			r.transactions("busy"))
	}
	r.turns(crowd)
}

// A turner takes and gives back a lock, and calls held in between.
type turner struct {
	name string
	once func(held func()) error
}

// transactions takes a mutex in one transaction after the other.
func (r *fixture) transactions(name string) turner {
	r.Helper()
	conn := r.connect(r.url())
	return turner{"transaction", func(held func()) error {
		return pgx.BeginFunc(r.ctx, conn, func(tx pgx.Tx) error {
			if err := LockTx(r.ctx, tx, name); err != nil {
				return err
			}
			held()
			return nil
		})
	}}
}

// turns has a crowd take its turns. Whoever has the lock waits until all others
// wait for it, so that their shares tell of the order and not of the machine.
func (r *fixture) turns(crowd []turner) {
	r.Helper()
	const rounds = 20
	most := rounds * len(crowd)
	var running sync.WaitGroup
	var mu sync.Mutex
	shares := make([]int, len(crowd))
	total, inside := 0, 0
	for i, w := range crowd {
		running.Go(func() {
			enough := false
			for !enough {
				err := w.once(func() {
					mu.Lock()
					inside++
					if inside != 1 {
						r.Errorf("%d hold the lock", inside)
					}
					shares[i]++
					total++
					last := total >= most
					mu.Unlock()
					if !last {
						r.crowded(len(crowd) - 1)
					}
					mu.Lock()
					inside--
					enough = total >= most
					mu.Unlock()
				})
				if err != nil {
					r.Errorf("%s: %v", w.name, err)
					return
				}
			}
		})
	}
	running.Wait()
	for i, w := range crowd {
		r.Logf("%s: %d of %d grants", w.name, shares[i], total)
		if shares[i] < rounds/4 {
			r.Errorf("a %s has %d of %d grants", w.name, shares[i], total)
		}
	}
}

// crowded returns when n wait for advisory locks, or when it has become clear
// that they never will. It may be called from any goroutine, by one at a time.
func (r *fixture) crowded(n int) {
	for deadline := time.Now().Add(patience / 4); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var waiting int
		if err := r.watch.QueryRow(r.ctx, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").Scan(&waiting); err != nil || waiting >= n {
			return
		}
	}
	r.Errorf("%d do not come to wait", n)
}

func TestSettingsOfATransactionAreLeftAlone(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	conn := r.connect(r.url())
	// These would find the lock free if names were looked up along the path.
	r.exec(conn, `CREATE SCHEMA trap;
		CREATE FUNCTION trap.pg_try_advisory_lock_shared(int8) RETURNS bool LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION trap.pg_try_advisory_xact_lock(int8) RETURNS bool LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION trap.pg_advisory_unlock_shared(int8) RETURNS bool LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION trap.pg_advisory_xact_lock(int8) RETURNS void LANGUAGE sql AS 'SELECT'`)
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		tx, err := conn.BeginTx(r.ctx, pgx.TxOptions{IsoLevel: level, AccessMode: pgx.ReadOnly})
		r.must(err)
		r.exec(conn, "SET LOCAL search_path = trap, pg_catalog; SET LOCAL lock_timeout = '12345ms'; SET LOCAL statement_timeout = '23456ms'")
		const settings = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings"
		before := ask[string](r, conn, settings)
		for _, way := range txWays {
			r.must(way.lock(r.ctx, tx, "set"))
			r.free(r.tx(), way.class, "set", false)
			ok, err := way.try(r.ctx, tx, "set too")
			if r.must(err); !ok {
				t.Fatal("a free lock is busy")
			}
			r.free(r.tx(), way.class, "set too", false)
		}
		if after := ask[string](r, conn, settings); after != before {
			t.Errorf("settings\n%s\nhave become\n%s", before, after)
		}
		r.must(tx.Rollback(r.ctx))
	}
}

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func TestTimeoutsOfATransactionHold(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.must(LockTx(r.ctx, r.tx(), "held"))
	for setting, want := range map[string]string{"lock_timeout": "55P03", "statement_timeout": "57014"} {
		conn := r.connect(r.url())
		tx := r.begin(conn)
		r.exec(conn, "SET LOCAL "+setting+" = '50ms'")
		sub, err := tx.Begin(r.ctx)
		r.must(err)
		if err := LockTx(r.ctx, sub, "held"); code(err) != want {
			t.Errorf("%s: %v", setting, err)
		}
		// A savepoint is all it takes to go on.
		r.must(sub.Rollback(r.ctx))
		r.must(LockTx(r.ctx, tx, "another"))
		r.must(tx.Commit(r.ctx))
		if n := r.locks(conn, true); n != 0 {
			t.Errorf("%s: %d locks are left", setting, n)
		}
	}
}

func TestDeadlockOfTransactionsIsAnError(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	txs := []pgx.Tx{r.tx(), r.tx()}
	names := []string{"a", "b"}
	for i, tx := range txs {
		r.must(LockTx(r.ctx, tx, names[i]))
	}
	failed := make(chan error, len(txs))
	for i, tx := range txs {
		go func() {
			err := LockTx(r.ctx, tx, names[1-i])
			_ = tx.Rollback(r.ctx)
			failed <- err
		}()
	}
	victims := 0
	for range txs {
		if err := <-failed; err != nil {
			victims++
			if code(err) != "40P01" || !strings.Contains(err.Error(), "dlock: locktx mutex ") {
				t.Error(err)
			}
		}
	}
	if victims != 1 {
		t.Errorf("a deadlock has %d victims", victims)
	}
}

func TestEndOfTheContextEndsTheWait(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.must(LockTx(r.ctx, r.tx(), "held"))
	for name, change := range map[string]func(*pgx.ConnConfig){
		"closes": func(*pgx.ConnConfig) {},
		"cancels": func(c *pgx.ConnConfig) {
			c.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
				return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: 0, DeadlineDelay: patience}
			}
		},
	} {
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
			conn := r.connect(r.url(), change)
			tx := r.begin(conn)
			pid := conn.PgConn().PID()
			ctx, cancel := context.WithCancel(r.ctx)
			if cause == context.DeadlineExceeded {
				ctx, cancel = context.WithTimeout(r.ctx, 200*time.Millisecond)
			}
			done := make(chan error, 1)
			go func() { done <- LockTx(ctx, tx, "held") }()
			r.waits(conn)
			if cause == context.Canceled {
				cancel()
			}
			if err := <-done; !errors.Is(err, cause) {
				t.Errorf("%s: %v instead of %v", name, err, cause)
			}
			cancel()
			if alive := !conn.IsClosed(); alive != (name == "cancels") {
				t.Errorf("%s: the connection is open: %v", name, alive)
			}
			_ = tx.Rollback(r.ctx)
			r.until("nothing is left", func() bool {
				return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1", pid) == 0
			})
		}
	}
}

func TestContextThatHasEndedTouchesNothing(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	tx := r.tx()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	for _, way := range txWays {
		if err := way.lock(ctx, tx, "x"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := way.try(ctx, tx, "x"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		r.must(way.lock(r.ctx, tx, "x"))
	}
	r.must(tx.Commit(r.ctx))
}

func TestLockInNestedTransaction(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	tx, other := r.tx(), r.tx()
	for _, way := range txWays {
		inner, err := tx.Begin(r.ctx)
		r.must(err)
		r.must(way.lock(r.ctx, inner, "undone"))
		r.must(inner.Rollback(r.ctx))
		r.free(other, way.class, "undone", true)
		inner, err = tx.Begin(r.ctx)
		r.must(err)
		r.must(way.lock(r.ctx, inner, "done"))
		r.must(inner.Commit(r.ctx))
		r.free(other, way.class, "done", false)
	}
}

func TestLockTwiceInOneTransaction(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	tx := r.tx()
	key := nameKey(backend.Mutex, "twice")
	r.must(LockTx(r.ctx, tx, "twice"))
	conn := r.connect(r.url())
	done := make(chan error, 1)
	go func() { done <- r.session(conn, key, "", func() {}) }()
	r.waits(conn)
	r.must(LockTx(r.ctx, tx, "twice"))
	r.must(tx.Commit(r.ctx))
	r.must(<-done)
}

// A full table of locks can fail a try between its gate and its lock.
func TestFullLockTableLeavesNoGate(t *testing.T) {
	t.Parallel()
	r := newServer(t, "max_connections", "5", "max_locks_per_transaction", "10", "autovacuum", "off")
	key := nameKey(backend.Mutex, "gate kept")
	gate := key.derive("gate")
	probe, tx := r.connect(r.url()), r.tx()
	try := func(conn *pgx.Conn) error {
		high, low := key.numbers()
		var ok bool
		return conn.QueryRow(r.ctx, tryLockTx, false, gate, false, high, low, key.value).Scan(&ok)
	}
	r.must(try(probe)) // catalogues are in the caches now
	r.free(tx, backend.Mutex, "gate kept", true)
	kept := func(conn *pgx.Conn) bool {
		_, _ = conn.Exec(r.ctx, "SELECT") // what it holds is settled
		return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1", conn.PgConn().PID()) > 0
	}

	filler := r.connect(r.url())
	n := 0
	for ; ; n++ {
		if _, err := filler.Exec(r.ctx, "SELECT pg_advisory_lock($1)", n); err != nil {
			if code(err) != outOfSharedMemory {
				t.Fatal(err)
			}
			break
		}
	}
	// One place after the other is given back until there is one for the gate and
	// none for the lock.
	for !kept(probe) {
		if err := try(probe); err == nil {
			t.Skip("the table went from full to sufficient at once")
		} else if code(err) != outOfSharedMemory {
			t.Fatal(err)
		}
		n--
		r.exec(filler, "SELECT pg_advisory_unlock($1)", n)
	}
	r.exec(filler, "SELECT pg_advisory_lock($1)", n)
	r.exec(probe, "SELECT pg_advisory_unlock_all()")
	pid := tx.Conn().PgConn().PID()
	if _, err := TryLockTx(r.ctx, tx, "gate kept"); code(err) != outOfSharedMemory {
		t.Fatal(err)
	}
	r.exec(filler, "SELECT pg_advisory_unlock_all()")
	_ = tx.Rollback(r.ctx)
	r.until("the gate is free", func() bool {
		return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1", pid) == 0
	})
}

func TestStandbyRefusesLocksInTransactions(t *testing.T) {
	t.Parallel()
	r := newServer(t)
	standby := pgtest.NewStandby(t, r.server, quick())
	tx := r.begin(r.connect(standby.URL()))
	for _, way := range txWays {
		if err := way.lock(r.ctx, tx, "x"); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: %v", way.name, err)
		}
		if _, err := way.try(r.ctx, tx, "x"); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("try %s: %v", way.name, err)
		}
	}
}

func TestEveryExecModeLocksInTransactions(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	other := r.tx()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
		pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		tx := r.begin(r.connect(r.url(), func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode }))
		for _, key := range []Key{Int64Key(-1 << 63), Int64Key(1<<63 - 1), PairKey(-1<<31, 1<<31-1)} {
			keys := WithKeys(func(string) Key { return key })
			ok, err := TryLockTx(r.ctx, tx, "x", keys)
			if r.must(err); !ok {
				t.Fatalf("%v: %v is busy", mode, key)
			}
			r.free(other, backend.Mutex, "x", false, keys)
		}
		for _, way := range txWays {
			r.must(way.lock(r.ctx, tx, "y"))
			r.free(other, way.class, "y", false)
		}
		r.must(tx.Rollback(r.ctx))
	}
}

// One connection of the server serves one transaction at a time in whichever mode
// PgBouncer pools, and more is not needed.
func TestLocksInTransactionsThroughPooler(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for _, mode := range []pgtest.PoolMode{pgtest.SessionPooling, pgtest.TransactionPooling} {
		pooler := pgtest.NewPooler(t, r.server, mode, nil)
		exec := func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeExec }
		a, b := r.begin(r.connect(pooler.DatabaseURL(r.database), exec)), r.begin(r.connect(pooler.DatabaseURL(r.database), exec))
		ok, err := TryLockTx(r.ctx, a, "x")
		if r.must(err); !ok {
			t.Fatal("a free lock is busy")
		}
		r.must(WLockTx(r.ctx, a, "x"))
		r.free(b, backend.Mutex, "x", false)
		r.free(b, backend.RWMutex, "x", false)
		r.must(a.Commit(r.ctx))
		r.free(b, backend.Mutex, "x", true)
		r.free(b, backend.RWMutex, "x", true)
		r.must(b.Commit(r.ctx))
	}
}

func TestBadInputOfLocksInTransactions(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	tx := r.tx()
	ended := r.tx()
	r.must(ended.Rollback(r.ctx))
	for _, way := range txWays {
		for _, c := range []struct {
			what    string
			tx      pgx.Tx
			name    string
			options []Option
			want    string
			is      error
		}{
			{"no transaction", nil, "x", nil, "nil transaction", nil},
			{"no name", tx, "", nil, "bad lock name", backend.ErrName},
			{"closed", ended, "x", nil, `"x"`, pgx.ErrTxClosed},
			{"keys", tx, "x", []Option{WithKeys(nil)}, "nil key function", nil},
			{"namespace", tx, "x", []Option{WithNamespace("\x00")}, "must not contain NUL", nil},
		} {
			_, tryErr := way.try(r.ctx, c.tx, c.name, c.options...)
			for _, err := range []error{tryErr, way.lock(r.ctx, c.tx, c.name, c.options...)} {
				switch {
				case err == nil:
					t.Errorf("%s, %s: no error", way.name, c.what)
				case !strings.HasPrefix(err.Error(), "dlock: ") || !strings.Contains(err.Error(), c.want):
					t.Errorf("%s, %s: %v", way.name, c.what, err)
				case c.is != nil && !errors.Is(err, c.is):
					t.Errorf("%s, %s: %v is not %v", way.name, c.what, err, c.is)
				case strings.Contains(err.Error(), pgtest.Password):
					t.Errorf("%s, %s: the error tells the password", way.name, c.what)
				}
			}
		}
	}
	r.must(LockTx(r.ctx, tx, strings.Repeat("\xff\x00/", 1<<18)))
	r.must(tx.Commit(r.ctx))
}
