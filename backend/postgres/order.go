package postgres

import "github.com/dlock-go/dlock/backend"

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

// climb returns what a wait session has to do to serve a wait. The last order
// that may wait long is followed by as little as possible, for others wait.
func climb(w *wait) []order {
	switch {
	case w.direct:
		return []order{takeLock}
	case w.lock.tickets != nil:
		return []order{takeGate}
	}
	return append([]order{takeGate}, ascent(w)...)
}

// flagged reports whether a flag has to be up before a wait session serves a wait.
func flagged(w *wait) bool {
	return w.lock.id.class == backend.RWMutex && w.mode == backend.Exclusive && !w.direct
}

// ascent is the way from the gate to the lock.
func ascent(w *wait) []order {
	switch {
	case w.mode == backend.Shared:
		return []order{takeLock, lookFlag}
	case w.keep:
		return []order{takeLock, prove, makeToken} // It goes down when its owner has been told.
	}
	return []order{takeLock, giveLock}
}

// descent gives back what stands beside the lock.
func descent(w *wait) []order {
	if w.direct {
		return nil
	}
	if flagged(w) {
		return []order{giveGate, lowerFlag}
	}
	return []order{giveGate}
}

// exec appends an order to the pipeline of a wire.
func (o order) exec(w *wire, for_ *wait, mark marker) {
	key := func(statement string, k int64) { w.exec(statement, appendInt(nil, oidInt8, k)) }
	shared := for_ != nil && for_.mode == backend.Shared
	switch o {
	case raiseFlag:
		key(stLockShared, for_.lock.key.derive("writers"))
	case lowerFlag:
		key(stUnlockShared, for_.lock.key.derive("writers"))
	case lookFlag:
		key(stFlag, for_.lock.key.derive("writers"))
	case takeGate:
		key(either(shared, stLockShared, stLock), for_.lock.gate)
	case giveGate:
		key(either(shared, stUnlockShared, stUnlock), for_.lock.gate)
	case takeLock:
		for_.lock.key.exec(w, either(shared, stLockShared, stLock))
	case giveLock:
		for_.lock.key.exec(w, either(shared, stUnlockShared, stUnlock))
	case prove:
		w.exec(stMarker, appendInt(nil, oidInt8, int64(mark)))
	case makeToken:
		w.exec(stToken)
	case freeAll:
		w.exec(stUnlockAll)
	}
}

func either(shared bool, yes, no string) string {
	if shared {
		return yes
	}
	return no
}

// exec appends a statement about a key.
func (k Key) exec(w *wire, statement string) {
	if !k.pair {
		w.exec(statement, appendInt(nil, oidInt8, k.value))
		return
	}
	a, b := k.numbers()
	w.exec(statement+pair, appendInt(nil, oidInt4, int64(a)), appendInt(nil, oidInt4, int64(b)))
}
