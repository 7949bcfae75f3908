package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dlock-go/dlock/backend"
)

// Both statements take a lock for the rest of the transaction, and answer NULL on
// a standby, where a lock excludes nobody elsewhere. Their first parameters are
// those of txLock.args. The order of the calls matters, and CASE is what fixes an
// order. A function that returns void returns something that is not NULL.
const (
	// lockTx goes the way of every waiter: it marks a writer as waiting, stands
	// at the gate, which serves in order, and then takes the lock. Whoever waits
	// for the lock has passed the gate or stands there, so transactions and
	// sessions take turns. Gate and mark stay taken to the end of the
	// transaction, as nothing at this level can be given back before. They keep
	// nobody out whom the lock itself lets in: readers share the gate, and the
	// mark means something only to readers that have the lock.
	lockTx = `SELECT CASE
	WHEN pg_catalog.pg_is_in_recovery() THEN NULL
	WHEN CASE WHEN $7::bool THEN pg_catalog.pg_advisory_xact_lock_shared($8::int8) IS NULL END THEN false
	WHEN CASE WHEN $1::bool THEN pg_catalog.pg_advisory_xact_lock_shared($2::int8) IS NULL
		ELSE pg_catalog.pg_advisory_xact_lock($2::int8) IS NULL END THEN false
	WHEN $3::bool THEN CASE WHEN $1::bool THEN pg_catalog.pg_advisory_xact_lock_shared($4::int4, $5::int4) IS NOT NULL
		ELSE pg_catalog.pg_advisory_xact_lock($4::int4, $5::int4) IS NOT NULL END
	WHEN $1::bool THEN pg_catalog.pg_advisory_xact_lock_shared($6::int8) IS NOT NULL
	ELSE pg_catalog.pg_advisory_xact_lock($6::int8) IS NOT NULL
	END`

	// tryLockTx takes the lock if nobody has it or waits for it, and tells
	// whether it did. The gate is not to be had while somebody waits there. It is
	// taken at the level of the session and given back, which answers true, in
	// the same statement, so that no transaction keeps it without the lock.
	tryLockTx = `SELECT CASE
	WHEN pg_catalog.pg_is_in_recovery() THEN NULL
	WHEN NOT pg_catalog.pg_try_advisory_lock_shared($2::int8) THEN false
	WHEN CASE
		WHEN $3::bool THEN CASE WHEN $1::bool THEN pg_catalog.pg_try_advisory_xact_lock_shared($4::int4, $5::int4)
			ELSE pg_catalog.pg_try_advisory_xact_lock($4::int4, $5::int4) END
		WHEN $1::bool THEN pg_catalog.pg_try_advisory_xact_lock_shared($6::int8)
		ELSE pg_catalog.pg_try_advisory_xact_lock($6::int8)
		END THEN pg_catalog.pg_advisory_unlock_shared($2::int8)
	ELSE NOT pg_catalog.pg_advisory_unlock_shared($2::int8)
	END`
)

// outOfSharedMemory is the code of the error of a server whose table of locks is
// full.
const outOfSharedMemory = "53200"

// LockTx locks the mutex of a name for the rest of a transaction, which frees it
// by its commit or rollback; there is no unlock. It excludes the dlock.Mutex of
// that name, of clients that have the same keys, and other transactions, and
// waits its turn in one queue with them.
//
// Whether the transaction holds the lock is Postgres's knowledge alone, so there
// is nothing to lose: when its connection breaks, so does the transaction, and
// what it wrote is undone. It has no fencing token and needs none for what it
// writes to its own database.
//
// The options that matter here are [WithKeys] and [WithNamespace]; those about
// connections change nothing. The settings of the transaction are left alone and
// hold here too: lock_timeout bounds the wait for the queue and the wait for the
// lock, each, and statement_timeout both together.
//
// When it fails because of the server, a timeout, say, or a deadlock with another
// transaction, which the server finds out after its deadlock_timeout, the
// transaction is aborted, as after any statement that fails; a savepoint by
// tx.Begin bounds the damage. When ctx ends, the error matches ctx.Err() with
// [errors.Is], and what becomes of the connection is as after any other query of
// pgx: unless configured otherwise it is closed, and the transaction with it. If
// ctx has ended before, nothing is done.
//
// In a transaction begun within another, the lock is kept to the end of the
// outermost one when the inner one is committed, and freed when that is rolled
// back. Where the isolation level is REPEATABLE READ or SERIALIZABLE, a transaction
// sees the database as it was at its first query: if that is LockTx, it does not
// see what the lock's last holder wrote while it waited.
//
// Like the other locks it is not reentrant: a transaction that has the lock by
// TryLockTx and takes it by LockTx may wait for somebody who waits for the
// transaction, which is a deadlock. A standby is refused with an error that
// wraps backend.ErrUnsupported, and an empty name with backend.ErrName.
func LockTx(ctx context.Context, tx pgx.Tx, name string, options ...Option) error {
	_, err := txLock{"locktx", backend.Mutex, backend.Exclusive, true}.take(ctx, tx, name, options)
	return err
}

// TryLockTx is LockTx without the wait: it tells whether it has taken the lock,
// which it does when nobody has it and nobody waits for it.
func TryLockTx(ctx context.Context, tx pgx.Tx, name string, options ...Option) (bool, error) {
	return txLock{"trylocktx", backend.Mutex, backend.Exclusive, false}.take(ctx, tx, name, options)
}

// RLockTx is LockTx for reading the dlock.RWMutex of a name: any number of readers
// hold it together, sessions and transactions. Among transactions and sessions
// that wait it is served in order; that writers go first is true only between
// sessions.
func RLockTx(ctx context.Context, tx pgx.Tx, name string, options ...Option) error {
	_, err := txLock{"rlocktx", backend.RWMutex, backend.Shared, true}.take(ctx, tx, name, options)
	return err
}

// TryRLockTx is RLockTx without the wait.
func TryRLockTx(ctx context.Context, tx pgx.Tx, name string, options ...Option) (bool, error) {
	return txLock{"tryrlocktx", backend.RWMutex, backend.Shared, false}.take(ctx, tx, name, options)
}

// WLockTx is LockTx for writing: it takes the dlock.RWMutex of a name exclusively.
func WLockTx(ctx context.Context, tx pgx.Tx, name string, options ...Option) error {
	_, err := txLock{"wlocktx", backend.RWMutex, backend.Exclusive, true}.take(ctx, tx, name, options)
	return err
}

// TryWLockTx is WLockTx without the wait.
func TryWLockTx(ctx context.Context, tx pgx.Tx, name string, options ...Option) (bool, error) {
	return txLock{"trywlocktx", backend.RWMutex, backend.Exclusive, false}.take(ctx, tx, name, options)
}

// WithNamespace has the functions for locks in transactions use the locks of
// clients with that namespace. It is for them alone: clients get theirs by
// dlock.WithNamespace.
func WithNamespace(namespace string) Option {
	return func(c *config) error {
		if strings.ContainsRune(namespace, 0) {
			return errors.New("dlock: a namespace must not contain NUL")
		}
		c.namespace = namespace
		return nil
	}
}

// A txLock is one way to take a lock in a transaction.
type txLock struct {
	op    string
	class backend.Class
	mode  backend.Mode
	wait  bool
}

// take takes the lock, or reports that it is not free.
func (l txLock) take(ctx context.Context, tx pgx.Tx, name string, options []Option) (bool, error) {
	c := config{keys: nameKey}
	for _, option := range options {
		if err := option(&c); err != nil {
			return false, err
		}
	}
	if tx == nil {
		return false, fmt.Errorf("dlock: %s %v %s: nil transaction", l.op, l.class, quote(name))
	}
	ok, err := l.ask(ctx, tx, &c, name)
	if err != nil {
		return false, fmt.Errorf("dlock: %s %v %s on %s: %w", l.op, l.class, quote(name), storeName(tx.Conn().Config()), err)
	}
	return ok, nil
}

func (l txLock) ask(ctx context.Context, tx pgx.Tx, c *config, name string) (bool, error) {
	if name == "" {
		return false, fmt.Errorf("%w: it is empty", backend.ErrName)
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	key := c.keys(l.class, inNamespace(c.namespace, name))
	var answer *bool
	err := l.row(ctx, tx, key).Scan(&answer)
	switch {
	case err != nil:
		return false, l.failed(ctx, tx, err)
	case answer == nil:
		return false, fmt.Errorf("%w: the server is a standby, and its locks exclude nobody on the primary", backend.ErrUnsupported)
	}
	return *answer, nil
}

func (l txLock) row(ctx context.Context, tx pgx.Tx, key Key) pgx.Row {
	high, low := key.numbers()
	shared := l.mode == backend.Shared
	args := []any{shared, key.derive("gate"), key.pair, high, low, key.value}
	if !l.wait {
		return tx.QueryRow(ctx, tryLockTx, args...)
	}
	writer := l.class == backend.RWMutex && !shared
	return tx.QueryRow(ctx, lockTx, append(args, writer, key.derive("writers"))...)
}

// failed cleans up after an error and tells it.
func (l txLock) failed(ctx context.Context, tx pgx.Tx, err error) error {
	// This one alone can come between the gate and its being given back. The
	// session would keep the gate, so it has to end; the transaction is aborted
	// anyway.
	if sqlState(err) == outOfSharedMemory && !l.wait {
		_ = tx.Conn().Close(ctx)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

// inNamespace returns the name that a client with a namespace gives its store for
// a lock.
func inNamespace(namespace, name string) string {
	if namespace == "" && !strings.HasPrefix(name, "\x00") {
		return name
	}
	return "\x00" + namespace + "\x00" + name
}

// quote returns a name fit for a line of text.
func quote(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "…"
	}
	return strconv.Quote(name)
}
