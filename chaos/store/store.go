// Package store starts the servers of each backend, says what it is held to, and
// knows what can be done to it.
package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/internal/pgtest"
	"github.com/dlock-go/dlock/internal/redistest"
)

// The bounds that the README gives, in figures. What the harness has seen of the
// machine's own delays is added to them.
const (
	// push is from an event at the store to those who are told of it: all that a wake-up
	// needs where it is pushed, and far less than any polling.
	push = 50 * time.Millisecond
	// atOnce is from the death of a process to those who are told what it had held.
	atOnce = 2 * push
)

// exact is the bound of writers in a row where the store keeps it to the letter. One more
// may have been granted the lock before it was known that a reader waits.
var exact = check.Turns{Least: backend.MaxWriters, Most: backend.MaxWriters + 1}

// A Setup is what a store needs to know of a run.
type Setup struct {
	Dir   string // for its files; empty, and removed after the run
	Class backend.Class
	Limit int
	Slots int // workers
	Names int // locks, by job.Name
	TTL   time.Duration
}

// A Store is the servers of one backend. Its methods are called one at a time,
// but for what its faults do.
type Store interface {
	// Start starts the servers.
	Start(ctx context.Context, s Setup) error
	// URL is where the worker of a slot finds them.
	URL(slot int) string
	// Promise is what it is held to.
	Promise(ttl time.Duration) check.Promise
	// Faults are what it knows beside Recover.
	Faults(ttl time.Duration) []fault.Kind
	// Leaks tells what is left of locks that nobody holds or awaits. It is called
	// when all workers are gone and their leases are over.
	Leaks(ctx context.Context) ([]string, error)
	// Stop ends the servers.
	Stop()
}

// Users is a store whose workers are of several users.
type Users interface {
	// User is that of a slot, or 0 for the controller's own.
	User(slot int) int
}

// A Maker is a backend by name.
type Maker struct {
	Name string
	New  func() Store
	// TTL is of its clients: short, so that faults can outlast it in a short run.
	TTL time.Duration
	// Alone is for a store inside one process: its workers are clients of it.
	Alone bool
}

// Missing reports whether a run failed because a server is not installed.
func Missing(err error) bool {
	return errors.Is(err, redistest.ErrMissing) || errors.Is(err, pgtest.ErrMissing)
}

var makers []Maker

func register(m Maker) { makers = append(makers, m) }

// Select returns the makers that a list of names selects, all for "".
func Select(list string) ([]Maker, error) {
	slices.SortFunc(makers, func(a, b Maker) int { return strings.Compare(a.Name, b.Name) })
	if list == "" {
		return makers, nil
	}
	var selected []Maker
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(makers, func(m Maker) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no backend %q", name)
		}
		selected = append(selected, makers[i])
	}
	return selected, nil
}
