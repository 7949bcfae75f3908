package dlock

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// The errors that a caller may want to tell apart, with errors.Is. What the
// methods return wraps them in an [*Error]. When a context has ended, its error
// is in the chain as well.
var (
	// ErrLost: a hold ended although nobody released it, because its session,
	// its lease or its file was lost. Somebody else may hold the lock.
	ErrLost = coordinator.ErrLost
	// ErrReleased: the hold has been given back.
	ErrReleased = coordinator.ErrReleased
	// ErrBusy: the lock is held, or others wait for it, and the call does not
	// wait.
	ErrBusy = coordinator.ErrBusy
	// ErrClosed: the client is closed.
	ErrClosed = coordinator.ErrClosed
	// ErrLimit: the limit of a semaphore is less than 1 or more than 2³¹−1, or
	// the semaphore is in use with another one. Calls that wait do so until nobody
	// uses the other one any longer.
	ErrLimit = coordinator.ErrLimit
	// ErrName: the name of a lock is empty, longer than 1 MiB, or not usable in
	// the store.
	ErrName = backend.ErrName
	// ErrUnsupported: the store cannot do what was asked.
	ErrUnsupported = backend.ErrUnsupported
)

// An Error tells which operation on which lock of which store failed, and why.
type Error struct {
	Op      string // such as "lock", "acquire", "release"
	Class   string // "mutex", "rwmutex", "semaphore" or "composite"
	Name    string // of the lock, without the namespace
	Backend string // of the store, without secrets
	Err     error
}

// Error returns the error in one line. A long name is cut.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("dlock: " + e.Op + " " + e.Class)
	if e.Name != "" {
		b.WriteString(" " + quote(e.Name))
	}
	if e.Backend != "" {
		b.WriteString(" on " + e.Backend)
	}
	b.WriteString(": " + strings.TrimPrefix(e.Err.Error(), "dlock: "))
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// quote returns a name fit for a line of text.
func quote(name string) string {
	if short := cut(name); len(short) < len(name) {
		return strconv.Quote(short) + "…"
	}
	return strconv.Quote(name)
}

// plain returns a name fit for an attribute of the log, whose handler quotes it if
// that has to be.
func plain(name string) string {
	if short := cut(name); len(short) < len(name) {
		return short + "…"
	}
	return name
}

// cut returns the beginning of a long name, in whole characters.
func cut(name string) string {
	const most = 80
	if len(name) <= most {
		return name
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// permanent reports whether no retry can cure err. A limit out of range is known
// before anything is tried.
func permanent(err error) bool {
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrName) || errors.Is(err, ErrUnsupported)
}
