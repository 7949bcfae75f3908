package file

import (
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A watcher tells of what others do to files, as far as the system does so, and
// bounds the wait for it.
//
// The session calls all but wait while it holds its mutex; wait runs beside them.
type watcher interface {
	// add watches the file at path. It reports false when it cannot: its caller
	// then has to look for itself. Where what the system has of watchers is scarce,
	// the first of writers is what the watcher begins with: before that nobody waits.
	add(path string, what attention) (watch, bool)
	// lack returns what the system has run out of, so that add cannot watch, if it was
	// not told before.
	lack() error
	// remove ends a watch. Notices of it that are under way still arrive.
	remove(watch)
	// until makes the current call of wait, or else the next, return at t; it
	// replaces an earlier t. The zero Time stands for never.
	until(t time.Time)
	// wait blocks until there is something to notice or its time has come. It
	// returns backend.ErrClosed after close.
	wait() ([]notice, error)
	// exact reports whether watches can be relied on. If not they may hasten what
	// polls find out in any case.
	exact() bool
	close()
}

// A watch names one watched file. No two of a session are the same.
type watch int

// attention is what is of interest about a file. That it is removed, renamed or
// replaced always is.
type attention int

const (
	// writers: somebody closed the file after having opened it for writing, or
	// has knocked at it.
	writers attention = iota + 1
	// everybody: somebody closed the file, or died with it open.
	everybody
	// nobody: what happens in the directory that this is about is of no interest.
	nobody
)

// A notice is what happened to a watched file.
type notice struct {
	watch watch // of none when lapsed
	kind  happening
}

type happening int

const (
	// closed: somebody closed the file, or has knocked at it.
	closed happening = iota + 1
	// moved: the file may have been removed, renamed or replaced.
	moved
	// ended: the watch has ended, with the file as a rule.
	ended
	// lapsed: notices were dropped.
	lapsed
)

// A poller is the watcher of systems that tell nothing: it only keeps time.
type poller struct {
	mu   sync.Mutex
	at   time.Time
	wake chan struct{} // cap 1; sent to by until and close, received from by wait
	done bool
}

func newPoller() *poller { return &poller{wake: make(chan struct{}, 1)} }

func (*poller) add(string, attention) (watch, bool) { return 0, false }
func (*poller) lack() error                         { return nil }
func (*poller) remove(watch)                        {}
func (*poller) exact() bool                         { return false }

func (p *poller) until(t time.Time) { p.set(t, false) }
func (p *poller) close()            { p.set(time.Time{}, true) }

func (p *poller) set(t time.Time, done bool) {
	p.mu.Lock()
	p.at, p.done = t, p.done || done
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // wait has not yet seen an earlier change, and will see both
	}
}

func (p *poller) wait() ([]notice, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		at, done := p.at, p.done
		p.mu.Unlock()
		if done {
			return nil, backend.ErrClosed
		}
		var due <-chan time.Time // nil: never
		if !at.IsZero() {
			timer.Reset(time.Until(at))
			due = timer.C
		}
		select {
		case <-due:
			return nil, nil
		case <-p.wake:
		}
	}
}
