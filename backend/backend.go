// Package backend is the contract between dlock and the stores that keep its
// locks, and the registry of URL schemes under which drivers are found.
//
// A program that only uses locks never needs this package: it imports a driver
// for its URL scheme and calls dlock.Open. Whoever writes a driver implements
// [Backend] and [Session] and runs the suite in backend/backendtest, which
// checks every obligation written here.
package backend

import (
	"context"
	"errors"
	"time"
)

// A Backend opens sessions with one store. It is safe for concurrent use.
type Backend interface {
	// String names the store in errors, logs and spans, such as
	// "file:///var/lock/app". It holds no secret.
	String() string

	// Caps tells what the store guarantees. It never changes.
	Caps() Caps

	// Open starts a session whose leases live for ttl beyond the last batch
	// that the store answered. who is what Inspect says of it; a store without
	// Caps.Inspect makes no use of it.
	//
	// ctx bounds the opening alone, not the session, and nothing else bounds it:
	// ttl does not, for a slow link may need several times that to open a session
	// that it serves well. When ctx ends Open returns promptly, and says what it
	// was waiting for.
	//
	// Open does not retry. Its caller does, unless the error wraps ErrUnsupported,
	// or ErrDenied: those end all that wait for the session. A store that keeps data
	// keeps a format number with them: Open refuses a number that is newer than its
	// own by ErrUnsupported, and names both.
	//
	// A session knows nothing of its predecessors. What one of them held that died
	// without Close stays taken until its lease ends or the store sees its
	// connection end, for its own process as for all others.
	Open(ctx context.Context, ttl time.Duration, who ClientInfo) (Session, error)

	// Inspect returns those who hold the lock of that class and name, in the order
	// of their grants, and those who wait for it: in the order of the queue, or
	// where writers go first, the writers and then the readers, each in theirs. It
	// is for people to read, and may be out of date when it arrives.
	//
	// It needs no session, and neither takes a lock nor keeps anybody from taking
	// one. A session stands there once for each of its owners. A name that nobody
	// uses is no error. What the store does not know of somebody is left zero: of
	// a program that took the lock without dlock that may be everything but its
	// being there. It returns promptly when ctx ends. Without Caps.Inspect it
	// returns ErrUnsupported.
	Inspect(ctx context.Context, class Class, name string) (holders, waiters []Participant, err error)
}

// A Closer is a Backend that owns something, such as a pool of connections. Whoever
// made the Backend calls Close when all its sessions are closed: dlock does for one
// that it made from a URL, and not for one that it was given.
type Closer interface {
	Backend
	Close(ctx context.Context) error
}

// Caps is what a store guarantees beyond exclusion. A driver's tests pin it, so
// that no guarantee is dropped in silence.
type Caps struct {
	// Queue: sessions are served in the order in which they came to stand in the
	// store's queue, which may differ by a moment from the order of the answers.
	// Without it they are served by fair retries.
	Queue bool
	// Notify: events are pushed by the store and not found by polling.
	Notify bool
	// Fencing: every Grant has an Ordinal.
	Fencing bool
	// Contended: the store tells, in a Grant and by an Event, when another
	// session waits for what this one holds. Without it a Grant that is not
	// Contended says nothing.
	Contended bool
	// Processes: sessions of different processes share the locks.
	Processes bool
	// Inspect: the store can tell who holds a lock and who waits for it.
	Inspect bool
}

// A Session is one party to the store's locks. What it holds and where it waits
// ends with it.
//
// One goroutine calls Apply and another calls Recv, at the same time. Close is
// called once, also after a death, may be called beside both and makes both
// return. Arguments are not retained, and
// results belong to the caller until its next call of the same method.
type Session interface {
	// Apply runs ops in order and answers each in results, index by index. A batch
	// may be of any size: a client that was cut off sends 100 000 at once. Apply
	// waits for the store's answer, but neither for a lock to become free nor for
	// the slowest node of several.
	//
	// Apply keeps the session alive; with no ops it is the heartbeat. Each call
	// renews every lease that a hold hangs on, unless that was renewed less than a
	// twelfth of ttl ago. A lease without holds may lapse.
	//
	// leases lists leases whose deadline is new, or which the store did not renew,
	// with the reason; the deadlines of the others stand. A lease is not given up
	// before its deadline because one batch failed: as long as the session may still
	// renew one, Apply reports ops without an answer as Unknown and returns a nil
	// error, and its caller sends them again. A session that cannot be reached again
	// under its identity is dead at once, though the store may keep its locks until
	// their leases end. Once its last lease is over and cannot be had anew, Apply
	// returns an error.
	//
	// Apply is called at least every third of ttl, and every second while an
	// owner is Queued, so that it can repair what a lost push left undone. It
	// returns within a third of ttl where the store lets it, ops undecided by
	// then being Unknown. It may return after a lease has ended: the caller
	// watches the deadlines itself.
	//
	// An error says that the session is dead: all that it held is lost, all
	// that it awaited is forgotten, and Apply is not called again. results and
	// leases are then ignored. The error wraps ErrSessionOver if the driver knows
	// that the store had ended the session before it saw any of ops: a Release among
	// them then came too late, and its hold was lost. Otherwise their outcome counts
	// as unknown. A driver that knows what became of some of ops answers those, and the
	// others Unknown, with a nil error, and tells the death by the next call and by Recv.
	//
	// ctx ends when an answer has become useless, and then Apply returns promptly.
	// It belongs to the session and never to the caller of a lock.
	Apply(ctx context.Context, ops []Op) (results []Result, leases []Lease, err error)

	// Recv blocks until there are events, and returns at least one, or an
	// error. An error says that the session is dead, as for Apply, or that ctx has
	// ended, which it does when the session is given up.
	//
	// Each event is delivered at least once: a driver that may have dropped some
	// repeats them, or sends EventTurn in place of EventGranted. There is no order between Recv
	// and Apply: a Granted event may overtake the Queued result of the very
	// Acquire that it grants, and counts for more. An event about an owner
	// that was released since is harmless: its receiver ignores it.
	Recv(ctx context.Context) ([]Event, error)

	// Close gives back what the session holds, withdraws where it waits and
	// frees its resources. When it returns nil, what was held is free. When ctx
	// ends first it lets go of the store all the same, and what it held ends as if
	// the process had been killed.
	Close(ctx context.Context) error
}

// Do is the kind of an Op.
type Do uint8

const (
	// Acquire asks for a lock. It is idempotent by Owner: repeated for an owner
	// that holds the lock it answers Granted with the same Ordinal, repeated
	// for one that waits it keeps its place. With Wait unset an answer other
	// than Granted leaves nothing behind. An owner's Acquires are all alike: Wait
	// does not change between them.
	Acquire Do = iota + 1
	// Release gives back what Owner holds or withdraws it from the queue. It
	// succeeds when the owner is unknown. It may be sent in place of repeating an
	// Acquire whose outcome is Unknown, and takes effect after that Acquire, however
	// late that one arrives. It is answered Released, NotHeld, Unknown or Refused, or
	// the session is dead. Once it is Released or NotHeld nothing is granted to its
	// owner any more.
	Release
)

// Class separates the name spaces: a mutex, a reader-writer lock and a semaphore
// of one name are three locks.
type Class uint8

// The classes of locks.
const (
	Mutex Class = iota + 1
	RWMutex
	Semaphore
)

// String returns the class as it stands in errors and spans.
func (c Class) String() string {
	switch c {
	case Mutex:
		return "mutex"
	case RWMutex:
		return "rwmutex"
	case Semaphore:
		return "semaphore"
	}
	return "unknown class"
}

// Mode is how a lock is held.
type Mode uint8

const (
	// Exclusive is the mode of a mutex, of a write lock and of a semaphore's
	// ticket.
	Exclusive Mode = iota + 1
	// Shared is the mode of a read lock. Where a writer waits, a new reader
	// does not get in. When a writer gives the lock back, waiting writers go
	// first, but at most MaxWriters in a row pass a waiting reader.
	Shared
)

// MaxWriters is how many writers in a row may be granted a lock while a reader
// waits for it. After that the waiting readers have their turn. Between sessions
// that is for the driver to keep.
const MaxWriters = 16

// MaxLimit is the largest size of a semaphore.
const MaxLimit = 1<<31 - 1

// An Op is one request to the store.
type Op struct {
	Do    Do
	Class Class
	Mode  Mode
	// Wait makes an Acquire join the queue when the lock is not free.
	Wait bool
	// Owner names one acquisition of one lock. It is never zero and never used
	// again in its session: an Acquire of an owner that stands for another lock,
	// mode or limit has Failed with ErrOwner. Two owners of one session exclude each
	// other as if they were of two sessions.
	Owner uint64
	// Limit is how many may hold the lock exclusively at the same time: the size of
	// a semaphore, up to MaxLimit, and 1 for a mutex and a reader-writer lock.
	Limit uint32
	// Name is any string of 1 byte to 2 MiB, NULs and what is not UTF-8 included.
	// Names that differ in a byte are different locks. A store that cannot keep long
	// names keeps their digests.
	Name string
}

// State is the outcome of an Op.
type State uint8

// The outcomes of an Op.
const (
	// Granted: Owner holds the lock; Result.Grant tells on what terms.
	Granted State = iota + 1
	// Queued: Owner waits, and will be told by an Event. Where Caps.Queue is
	// false no place is kept: the driver sends EventTurn when another attempt is
	// worth while, by its own back-off, even if it hears of no release.
	Queued
	// Busy: the lock was held, or others wait for it, and Wait was not set.
	// Without Caps.Queue also when rivals prevented each other.
	Busy
	// Released: a Release took effect: its owner no longer keeps the lock from
	// others, even if a part of the store has yet to hear of it.
	Released
	// NotHeld: a Release of an owner that was granted found at the store that the
	// owner holds the lock no longer, so that somebody else may have held it since:
	// the loss was not noticed before. Apart from that it is Released. A driver says
	// it only if the store said so to the first Release that it was sent for the
	// owner: one that is sent again after no answer may be missing because of
	// itself, and is Released.
	NotHeld
	// Unknown: no answer came. The caller sends the op again after a back-off,
	// under the same owner and before any later op of that owner. In one batch, of
	// an owner with an op that is Unknown the later ones are Unknown too.
	Unknown
	// Refused: the store answered that it does not do this now, and the op did not
	// take effect: it loads its data, has no memory left or too few replicas, or is
	// no longer the primary. Result.Err tells why. The caller announces that, and
	// sends the op again as if it were Unknown. A Release that is not allowed is
	// Refused as well, for what it was to free is still taken.
	Refused
	// Failed: an Acquire did not and will not take effect, and leaves nothing behind;
	// Result.Err tells why. It wraps ErrLimit, ErrName, ErrOwner or ErrUnsupported
	// when repeating it cannot help, and ErrDenied when it cannot before somebody
	// changes the store. Any other error may pass: the caller may try again under a
	// new owner.
	Failed
)

// A Result answers the Op of the same index.
type Result struct {
	State State
	Grant Grant // when Granted
	Err   error // when Failed or Refused, and then never nil; may explain Unknown
}

// A Grant is the terms of a hold.
type Grant struct {
	// Lease is the lease on which the hold depends, with its deadline as it is
	// known at this moment.
	Lease Lease
	// Ordinal grows from grant to grant of one name, over restarts of the store
	// too, and is at most MaxOrdinal. No two grants of a name have the same, in one
	// batch or of those who hold at the same time either. It is 0 where the store has
	// no fencing tokens.
	Ordinal uint64
	// Contended: another session waits for this lock at this moment.
	Contended bool
}

// A Lease is a deadline that holds depend on. A session may have several, one
// for each part of the store that can fail alone: a slot bucket of a cluster, a
// subset of the nodes of a quorum.
type Lease struct {
	ID uint32
	// Until is when the holds end for this session, whatever the store does,
	// and always before the store may grant anew: the instant before the first
	// send plus the time to live, less the drift of clocks. It carries Go's
	// monotonic reading and never goes back. The zero Time stands for a lease
	// without a deadline.
	//
	// A lease whose Until has passed is dead for the driver, and its ID is not used
	// again. Its holds are lost without an event; the caller sends a Release for
	// each, as for EventLost. Until then the driver may keep the lock taken, but it
	// never answers Granted for it.
	//
	// The caller may see the deadline that it knows pass while a renewal is on its
	// way. It declares the lease over for all that hang on it, and sends a Release for
	// each. That is no concern of the driver, which goes on with the ID: what is
	// granted on it afterwards hangs on a lease with the new deadline.
	Until time.Time
	// Err is nil, or why the store has not renewed the lease just now, by an answer
	// or by none. Until is then what it was.
	Err error
}

// EventKind is the kind of an Event.
type EventKind uint8

const (
	// EventGranted: the queued Owner holds the lock, on the terms of Grant. Sent
	// again for an owner that holds it, with the same Ordinal, it moves the hold
	// to another lease; its receiver ignores it once the hold is lost or
	// released.
	EventGranted EventKind = iota + 1
	// EventTurn: Owner's Acquire is to be applied again: it may be its turn, or
	// its place in the queue is gone. It is answered at once, by that Acquire or by
	// a Release: until then the store may keep everybody else waiting.
	EventTurn
	// EventLost: Owner no longer holds what it was granted. Its receiver
	// answers with a Release, which frees what the driver still keeps of it.
	EventLost
	// EventContended: another session has begun to wait for what Owner holds. It
	// holds until the owner releases, and is said once at least; it may overtake
	// the grant that it is about.
	EventContended
	// EventNotice is about the store and not about an Owner: Err says what whoever
	// runs the program should know, such as a right that is missing and that the
	// driver does without. The caller logs it; a session says each once.
	EventNotice
)

// An Event is news that came unasked, of the store about an owner or of the driver.
type Event struct {
	Kind  EventKind
	Owner uint64
	Grant Grant // of EventGranted
	Err   error // of EventLost: why, or nil; of EventNotice, never nil
}

var (
	// ErrLimit is the cause of a Failed result when a semaphore is in use with
	// another limit.
	ErrLimit = errors.New("dlock: semaphore in use with another limit")
	// ErrName is the cause of a Failed result when the store cannot use a name.
	ErrName = errors.New("dlock: bad lock name")
	// ErrOwner is the cause of a Failed result when the owner of an Acquire stands
	// for another one.
	ErrOwner = errors.New("dlock: owner is in use for another lock")
	// ErrUnsupported is the cause of a Failed result, and of a failed Open, when
	// the store cannot do what was asked.
	ErrUnsupported = errors.New("dlock: not supported by the backend")
	// ErrDenied is the cause of a Failed result, and of a failed Open, when the store
	// refuses what was asked and will go on to do so until somebody changes it: a
	// right is missing, say. A refusal that can pass is not one: too many
	// connections, data that are still loading, a password that is being changed.
	ErrDenied = errors.New("dlock: denied by the store")
	// ErrSessionOver is wrapped by an error of Apply when the store had ended the
	// session before the batch got there.
	ErrSessionOver = errors.New("dlock: session ended by the store")
	// ErrClosed is returned by the methods of a closed Session.
	ErrClosed = errors.New("dlock: closed")
)
