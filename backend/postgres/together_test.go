package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A pairing is a lock of a client and the transaction's way to the same.
type pairing struct {
	name   string
	client func(*dlock.Client, string) acquirer
	way    txWay
}

var pairings = []pairing{
	{"mutex", func(c *dlock.Client, name string) acquirer { return c.Mutex(name) }, txWays[0]},
	{"read", func(c *dlock.Client, name string) acquirer { return reader{c.RWMutex(name)} }, txWays[1]},
	{"write", func(c *dlock.Client, name string) acquirer { return c.RWMutex(name) }, txWays[2]},
}

func TestTransactionsAndClientsExcludeEachOther(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c, spaced := r.client(r.url()), r.client(r.url(), dlock.WithNamespace("space"))
	tx := r.tx()
	try := func(way txWay, name string, options ...Option) bool {
		t.Helper()
		sub, err := tx.Begin(r.ctx)
		r.must(err)
		ok, err := way.try(r.ctx, sub, name, options...)
		r.must(err)
		r.must(sub.Rollback(r.ctx))
		return ok
	}
	for _, mine := range pairings {
		for _, theirs := range pairings {
			want := mine.way.class != theirs.way.class || !mine.way.exclusive && !theirs.way.exclusive
			name := mine.name + theirs.name
			h := r.acquire(mine.client(c, name))
			if got := try(theirs.way, name); got != want {
				t.Errorf("a client has a %s, and a transaction gets a %s: %v", mine.name, theirs.name, got)
			}
			r.must(h.Release(r.ctx))
			if !try(theirs.way, name) {
				t.Errorf("a %s that was released keeps a transaction from its %s", mine.name, theirs.name)
			}

			sub, err := tx.Begin(r.ctx)
			r.must(err)
			r.must(mine.way.lock(r.ctx, sub, name))
			r.available(theirs.client(c, name), want)
			r.must(sub.Rollback(r.ctx))
			r.available(theirs.client(c, name), true)

			h = r.acquire(mine.client(spaced, name))
			if !try(theirs.way, name) {
				t.Error("a namespace does not keep names apart")
			}
			if got := try(theirs.way, name, WithNamespace("space")); got != want {
				t.Errorf("in a namespace a client has a %s, and a transaction gets a %s: %v", mine.name, theirs.name, got)
			}
			r.must(h.Release(r.ctx))
		}
	}
}

func TestClientWaitsForTransactionAndBack(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	for _, p := range pairings {
		if !p.way.exclusive {
			continue
		}
		tx := r.tx()
		r.must(p.way.lock(r.ctx, tx, "x"))
		granted := r.acquiring(p.client(c, "x"))
		r.waiters(1)
		r.must(tx.Commit(r.ctx))
		h := comes(r, "client's grant", granted)

		tx = r.tx()
		done := make(chan error)
		go func() { done <- p.way.lock(r.ctx, tx, "x") }()
		r.waits(tx.Conn())
		r.must(h.Release(r.ctx))
		r.must(comes(r, "transaction's lock", done))
		r.must(tx.Rollback(r.ctx))
	}
}

// Two clients, two transactions and one who knows nothing of the gate want one
// lock all the time.
func TestNobodyStarvesBesideClients(t *testing.T) {
	r := newFixture(t)
	var crowd []turner
	for range 2 {
		c := r.client(r.url(), dlock.WithHandoff(0))
		crowd = append(crowd, turner{"client", func(held func()) error {
			return c.Mutex("busy").Do(r.ctx, func(context.Context) error { held(); return nil })
		}}, r.transactions("busy"))
	}
	conn := r.connect(r.url())
	key := nameKey(backend.Mutex, "busy").value
	crowd = append(crowd, turner{"lock by hand", func(held func()) error {
		if _, err := conn.Exec(r.ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
			return err
		}
		held()
		_, err := conn.Exec(r.ctx, "SELECT pg_advisory_unlock($1)", key)
		return err
	}})
	r.turns(crowd)
}

func TestKeysOfClients(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for _, c := range []struct {
		keys []Option
		url  []string
		name string
		want Key
	}{
		{nil, nil, "a", nameKey(backend.Mutex, "a")},
		{[]Option{WithKeys(func(string) Key { return Int64Key(0) })}, nil, "zero", Int64Key(0)},
		{[]Option{WithKeys(func(string) Key { return PairKey(0, 0) })}, nil, "zeros", PairKey(0, 0)},
		{[]Option{WithKeys(func(string) Key { return PairKey(-1, 1<<31-1) })}, nil, "pair", PairKey(-1, 1<<31-1)},
		{[]Option{WithKeys(DotNetKey)}, []string{"dlock_keys=dotnet"}, "a", PairKey(-1023410177, -1)},
		{[]Option{WithKeys(DotNetKey)}, []string{"dlock_keys=dotnet"}, "漢漢漢漢漢漢漢漢漢漢漢漢漢漢漢漢漢漢", Int64Key(-5707277204051710361)},
	} {
		var client *dlock.Client
		if c.url != nil || c.keys == nil {
			client = r.client(r.url(append([]string{"sslmode=disable"}, c.url...)...))
		} else {
			config, err := pgx.ParseConfig(r.url())
			r.must(err)
			st, err := New(config, c.keys...)
			r.must(err)
			client = r.over(st)
		}
		h := r.acquire(client.Mutex(c.name))
		for sql, key := range map[string]Key{
			"SELECT pg_try_advisory_xact_lock" + c.want.String(): c.want,
			"SELECT pg_try_advisory_xact_lock(0)":                Int64Key(0),
			"SELECT pg_try_advisory_xact_lock(0, 0)":             PairKey(0, 0),
		} {
			if free := ask[bool](r, r.watch, sql); free != (key != c.want) {
				t.Errorf("while %v is held, %s says %v", c.want, sql, free)
			}
		}
		// It stands in pg_locks as Postgres shows its keys.
		high, low := c.want.numbers()
		kind := 1
		if c.want.pair {
			kind = 2
		}
		if n := ask[int](r, r.watch, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND l.granted AND mode = 'ExclusiveLock'
			AND classid = $1 AND objid = $2 AND objsubid = $3 AND application_name LIKE 'dlock %'`, uint32(high), uint32(low), kind); n != 1 {
			t.Errorf("%v stands in pg_locks %d times", c.want, n)
		}
		tx := r.tx()
		r.free(tx, backend.Mutex, c.name, false, c.keys...)
		r.must(h.Release(r.ctx))
		r.free(tx, backend.Mutex, c.name, true, c.keys...)
		if c.keys != nil {
			// A mutex and a reader-writer lock of one key are one to the server, and
			// in one client cannot be told apart.
			h := r.acquire(client.Mutex(c.name))
			if _, err := client.RWMutex(c.name).TryLockContext(r.ctx); !errors.Is(err, dlock.ErrName) {
				t.Error(err)
			}
			r.must(h.Release(r.ctx))
			r.available(client.RWMutex(c.name), true)
		}
	}
}

// A client waits between two transactions that wait for each other. The server
// finds that out for one who begins to wait at a time, and if that is the client,
// it must not leave the others alone with it.
func TestDeadlockThroughAWaiter(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.exec(r.watch, "ALTER DATABASE "+r.database+" SET log_lock_waits = on")
	c := r.client(r.url())
	gate := nameKey(backend.Mutex, "b").derive("gate")
	tx1, tx2 := r.tx(), r.tx()
	r.must(LockTx(r.ctx, tx1, "a"))
	ok, err := TryLockTx(r.ctx, tx2, "b") // without its gate
	if r.must(err); !ok {
		t.Fatal("b is busy")
	}
	hand := r.connect(r.url())
	r.exec(hand, "SELECT pg_advisory_lock($1)", gate)
	granted := r.acquiring(c.Mutex("b"))
	r.waiters(1)
	failed := make(chan error, 2)
	lock := func(tx pgx.Tx, name string) {
		err := LockTx(r.ctx, tx, name)
		_ = tx.Rollback(r.ctx)
		failed <- err
	}
	go lock(tx1, "b")
	r.waiters(2)
	go lock(tx2, "a")
	r.waiters(3)
	// Nobody is deadlocked yet, and each has looked.
	r.until("all have looked for a deadlock", func() bool {
		looked := make(map[string]bool)
		for line := range strings.Lines(r.server.Log()) {
			if strings.Contains(line, "] "+r.database+" ") && strings.Contains(line, "still waiting for") {
				_, process, _ := strings.Cut(line, "process ")
				process, _, _ = strings.Cut(process, " ")
				looked[process] = true
			}
		}
		return len(looked) == 3
	})
	if n := len(failed); n != 0 {
		t.Fatal("a deadlock too early")
	}
	r.exec(hand, "SELECT pg_advisory_unlock($1)", gate)
	victims := 0
	for range 2 {
		if err := comes(r, "end of a deadlock", failed); err != nil {
			victims++
			if sqlState(err) != "40P01" {
				t.Error(err)
			}
		}
	}
	if victims != 1 {
		t.Errorf("a deadlock has %d victims", victims)
	}
	r.must(comes(r, "client's grant", granted).Release(r.ctx))
}

func TestStoreHasNoNamespace(t *testing.T) {
	config, err := pgx.ParseConfig("postgres://localhost/app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(config, WithNamespace("space")); err == nil {
		t.Error("a store has a namespace")
	}
}
