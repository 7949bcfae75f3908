// Package serial runs functions one after the other on a goroutine that exists
// only while there are some.
package serial

import (
	"context"
	"sync"
)

// A Queue runs functions one after the other, in the order in which they came,
// away from those who hand them in. Its goroutine starts with the first function and
// ends when none is left. The zero value is ready for use and has no bound. A Queue is
// safe for concurrent use and must not be copied.
type Queue struct {
	// Bound is how many functions may wait; 0 stands for any number. What comes
	// when that many wait is dropped. It is set before the first use.
	Bound int
	// Dropped, if set, is called in the place of the functions that were dropped in
	// a row, with their number. It is set before the first use.
	Dropped func(n int)

	mu      sync.Mutex
	pending []func()
	dropped int           // since the last of pending came
	running bool          // there is a goroutine
	idle    chan struct{} // closed by run when nothing is left; nil unless somebody waits for that
}

// Go has f run when those that came before it have returned. It does not block. It is
// false when f was dropped.
func (q *Queue) Go(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Bound > 0 && len(q.pending) >= q.Bound {
		q.dropped++
		return false
	}
	if n := q.dropped; n > 0 {
		q.dropped = 0
		q.pending = append(q.pending, func() { q.tell(n) })
	}
	q.pending = append(q.pending, f)
	if !q.running {
		q.running = true
		go q.run()
	}
	return true
}

// Wait returns nil when nothing is left to run, or the error of ctx when that ends
// first.
func (q *Queue) Wait(ctx context.Context) error {
	q.mu.Lock()
	if !q.running {
		q.mu.Unlock()
		return nil
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *Queue) run() {
	returned := false
	defer func() {
		if !returned {
			go q.run() // A function has ended its goroutine: the others still have their turn.
		}
	}()
	for f := q.next(); f != nil; f = q.next() {
		f()
	}
	returned = true
}

// next takes the next function out, or ends the run.
func (q *Queue) next() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending) > 0 {
		f := q.pending[0]
		q.pending[0], q.pending = nil, q.pending[1:]
		return f
	}
	if n := q.dropped; n > 0 {
		q.dropped = 0
		return func() { q.tell(n) }
	}
	q.running = false
	q.pending = nil
	if q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
	return nil
}

func (q *Queue) tell(n int) {
	if q.Dropped != nil {
		q.Dropped(n)
	}
}
