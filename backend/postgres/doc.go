// Package postgres keeps dlock's locks in a Postgres database, as advisory locks.
// There is no table, and no server beside the database.
//
// Importing the package makes dlock.Open understand URLs of the schemes
// "postgres" and "postgresql", with everything that pgx understands: several
// hosts, service files, TLS. Over a network use TLS, with sslmode=verify-full.
// These parameters of the URL are our own, and have an [Option] each:
//
//	dlock_connections  most connections of a client (8): WithConnections
//	dlock_locks        most locks of a client (1000): WithMaxLocks
//	dlock_schema       where the sequence of the fencing tokens is (dlock): WithSchema
//	dlock_tokens       false does without tokens: WithoutTokens
//	dlock_keys         names, or dotnet for the keys of the .NET library DistributedLock: WithKeys
//
// Whoever has a pgx.ConnConfig or a pgxpool.Pool calls [New] or [NewFromPool], and
// whoever wants a lock for the rest of a transaction of his own, [LockTx].
//
// # Connections
//
// A client has one connection that holds its locks, and up to seven more that
// wait. A name that is wanted while others have it occupies one of these, however
// many goroutines want it; they are opened when they are needed, and closed when
// they have not been for a minute. Of the seven, three at most keep a mutex that they
// have waited for until it is released, since that is the fastest way to hand it
// over; else the first connection takes over what they have waited for. For as many
// names as there are wait sessions left a client has a place in the server's queue,
// first come, first served between all clients. For names beyond that, and when the
// server has no connection to spare, it tries every few hundredths of a second, and
// the wait sessions go round among the names. [Store.Inspect] takes one connection
// more while it lasts.
//
// # Promises
//
// A lock is lost when the connection that holds it is: when the backend is
// terminated or the server stops, which is noticed within milliseconds, or when
// the server does not answer for the time to live of the client (dlock.WithTTL),
// be it stopped, failed over or out of reach. The server keeps to that time too: it
// ends a session that it has not heard of for so long (idle_session_timeout), and not
// before the client has counted it as lost. A process that is killed frees its locks
// at once.
//
// Waiting writers go before waiting readers, but at most about backend.MaxWriters
// of them in a row. Whoever takes the key of a lock by hand is excluded, but does
// not know the queue; as long as somebody does, clients stand in the same line
// with him, in which each has his turn and writers have no privilege.
//
// A waiting statement has a snapshot, as any statement has, and CREATE INDEX
// CONCURRENTLY and its like wait for it. About once a second a client looks
// whether somebody does, and begins its statements anew; who holds a place in the
// queue behind the first may then change it with others. After five minutes a
// statement ends by itself, for the sake of vacuum, and
// who waited by it queues anew.
//
// Fencing tokens are numbers of a sequence. They grow over crashes, over a fail-over to a
// standby, over pg_upgrade and a restore from a dump: a client that opens a session when
// no other has one lifts the sequence beyond the server's clock, in microseconds since
// 2020, and beyond all that a crash may have cost it. To give tokens the server then waits
// for no disk (synchronous_commit=off): a crash ends all sessions, and what it sets back
// the next lift makes good, which is on the disk before the first token is drawn. If
// the clock is set back and a fail-over or a restore loses numbers at the same time, tokens
// may go back. A client makes the sequence when it may. If it may not, it says what to
// grant. In the comment on the sequence stands the format of what a database has for dlock
// ("dlock format 2"), and a client refuses a format that is newer than it is; who makes
// the sequence by hand may leave it out.
//
// # Refusals
//
// What the server refuses for now (it has no room for a lock or a connection, it
// starts, it is a standby, it does not know a password yet) is tried again. What it
// will refuse until somebody changes something (a right is missing, the sequence, the
// database) is an error at once, which wraps backend.ErrDenied. A release that it
// refuses keeps the lock.
//
// # Settings
//
// Sessions set for themselves what they need, whatever the role or the database
// say: idle_session_timeout, statement_timeout, lock_timeout, the tcp_keepalives_*
// and tcp_user_timeout, client_connection_check_interval, synchronous_commit=off,
// application_name, search_path, and a few that pin defaults. The connections of a
// pool are taken out of it and never given back, so no setting leaks.
//
// Locks live in a table that all sessions of the server share, with room for
// about max_locks_per_transaction × (max_connections + max_prepared_transactions)
// of them; each lock that is held takes an entry, each that waits two or three, and
// a semaphore two for each client more than its slots. When it is full, who asks
// gets an error, and what is held stays so.
//
// Advisory locks belong to the session. PgBouncer works in session mode; with a
// pooler that shares backends between sessions, as PgBouncer does in its
// transaction mode, there is no lock, and Open refuses it. A standby that can only
// be read is refused too.
//
// In pg_stat_activity the connections are called "dlock HOST PID", and their
// statements begin with a comment that has the reason of dlock.WithReason. In
// pg_locks a mutex or reader-writer lock stands under its key: [WithKeys]. Each client has
// one lock there that is nobody else's, by which its connections find out whether they
// lead to one server.
package postgres
