// Package notify tells a session what others do to the files that it watches: by inotify
// on Linux, by kqueue on macOS and the BSDs that have what it takes; elsewhere, and on
// file systems that other machines change, it only keeps time.
//
// Read watcher.go first: the Watcher is what all of them are.
package notify

import "time"

// A Watcher tells of what others do to files, as far as the system does so, and
// bounds the wait for it.
//
// All but Wait are called by one goroutine at a time; Wait runs beside them.
type Watcher interface {
	// Add watches the file at path. It reports false when it cannot: its caller
	// then has to look for itself. Where what the system has of watchers is scarce,
	// the first of writers is what the watcher begins with: before that nobody waits.
	Add(path string, what Attention) (Watch, bool)
	// Lack returns what the system has run out of, so that Add cannot watch, if it was
	// not told before.
	Lack() error
	// Remove ends a watch. Notices of it that are under way still arrive.
	Remove(Watch)
	// Until makes the current call of Wait, or else the next, return at t; it
	// replaces an earlier t. The zero Time stands for never.
	Until(t time.Time)
	// Wait blocks until there is something to notice or its time has come. It
	// returns os.ErrClosed after Close.
	Wait() ([]Notice, error)
	// Exact reports whether watches can be relied on. If not they may hasten what
	// polls find out in any case.
	Exact() bool
	Close()
}

// A Watch names one watched file. No two of a session are the same.
type Watch int

// Attention is what is of interest about a file. That it is removed, renamed or
// replaced always is.
type Attention int

const (
	// Writers: somebody closed the file after having opened it for writing, or
	// has knocked at it.
	Writers Attention = iota + 1
	// Everybody: somebody closed the file, or died with it open.
	Everybody
	// Nobody: what happens in the directory that this is about is of no interest.
	Nobody
)

// A Notice is what happened to a watched file.
type Notice struct {
	Watch Watch // of none when Lapsed
	Kind  Kind
}

// A Kind says what happened.
type Kind int

const (
	// Closed: somebody closed the file, or has knocked at it.
	Closed Kind = iota + 1
	// Moved: the file may have been removed, renamed or replaced.
	Moved
	// Ended: the watch has ended, with the file as a rule.
	Ended
	// Lapsed: notices were dropped.
	Lapsed
)
