package postgres

import (
	"github.com/dlock-go/dlock/backend"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// An order is a statement of a wait session.
type order uint8

const (
	raiseFlag order = iota + 1 // a writer waits
	takeGate
	takeLock
	giveLock
	lookFlag // does a writer wait?
	prove    // is it on the server of the session?
	makeToken
	giveGate
	lowerFlag
	freeAll
)

// takes reports whether an order may have to wait for a lock.
func (o order) takes() bool { return o == raiseFlag || o == takeGate || o == takeLock }

// acquireScript returns what a wait session has to do to serve a wait. The last order
// that may wait long is followed by as little as possible, for others wait.
func acquireScript(w *wait) []order {
	switch {
	case w.way == direct:
		return []order{takeLock}
	case w.lock.slots != nil:
		return []order{takeGate}
	}
	return append([]order{takeGate}, lockScript(w)...)
}

// flagged reports whether a flag has to be up before a wait session serves a wait.
func flagged(w *wait) bool {
	return w.lock.id.class == backend.RWMutex && w.mode == backend.Exclusive && w.way != direct
}

// lockScript is the way from the gate to the lock.
func lockScript(w *wait) []order {
	switch {
	case w.mode == backend.Shared:
		return []order{takeLock, lookFlag}
	case w.way != givesUp:
		return []order{takeLock, prove, makeToken} // It goes down when its owner has been told.
	}
	return []order{takeLock, giveLock}
}

// releaseScript gives back what stands beside the lock.
func releaseScript(w *wait) []order {
	if w.way == direct {
		return nil
	}
	if flagged(w) {
		return []order{giveGate, lowerFlag}
	}
	return []order{giveGate}
}

// exec appends an order to the pipeline of a wire.
func (o order) exec(w *pgwire.Conn, for_ *wait, mark marker) {
	key := func(statement string, k int64) { w.Exec(statement, pgwire.AppendInt(nil, pgwire.OIDInt8, k)) }
	shared := for_ != nil && for_.mode == backend.Shared
	switch o {
	case raiseFlag:
		key(pgsql.LockShared, for_.lock.key.derive("writers"))
	case lowerFlag:
		key(pgsql.UnlockShared, for_.lock.key.derive("writers"))
	case lookFlag:
		key(pgsql.Flag, for_.lock.key.derive("writers"))
	case takeGate:
		key(either(shared, pgsql.LockShared, pgsql.Lock), for_.lock.gate)
	case giveGate:
		key(either(shared, pgsql.UnlockShared, pgsql.Unlock), for_.lock.gate)
	case takeLock:
		for_.lock.key.exec(w, either(shared, pgsql.LockShared, pgsql.Lock))
	case giveLock:
		for_.lock.key.exec(w, either(shared, pgsql.UnlockShared, pgsql.Unlock))
	case prove:
		w.Exec(pgsql.Marker, pgwire.AppendInt(nil, pgwire.OIDInt8, int64(mark)))
	case makeToken:
		w.Exec(pgsql.Token)
	case freeAll:
		w.Exec(pgsql.UnlockAll)
	}
}

// either returns one of two values.
func either[T any](which bool, yes, no T) T {
	if which {
		return yes
	}
	return no
}

// exec appends a statement about a key.
func (k Key) exec(w *pgwire.Conn, statement string) {
	if !k.pair {
		w.Exec(statement, pgwire.AppendInt(nil, pgwire.OIDInt8, k.value))
		return
	}
	a, b := k.numbers()
	w.Exec(statement+pgsql.ForPairs, pgwire.AppendInt(nil, pgwire.OIDInt4, int64(a)), pgwire.AppendInt(nil, pgwire.OIDInt4, int64(b)))
}
