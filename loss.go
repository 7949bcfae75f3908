package dlock

import "sync"

// A Loss tells of a hold that ended although nobody released it.
type Loss struct {
	Class   string // "mutex", "rwmutex" or "semaphore"
	Name    string // of the lock, without the namespace
	Backend string
	Token   uint64 // the fencing token of the hold, or 0
	Err     error  // why; matches ErrLost
}

// losses passes Loss values from the coordinator, which must not wait, to the
// handler, which may take its time.
type losses struct {
	handler func(Loss)
	done    chan struct{} // closed by run

	mu      sync.Mutex
	changed sync.Cond // something was added, or closed
	pending []Loss
	closed  bool
}

// newLosses starts the goroutine that calls handler. close ends it.
func newLosses(handler func(Loss)) *losses {
	l := &losses{handler: handler, done: make(chan struct{})}
	l.changed.L = &l.mu
	go l.run()
	return l
}

func (l *losses) add(loss Loss) {
	l.mu.Lock()
	l.pending = append(l.pending, loss)
	l.mu.Unlock()
	l.changed.Signal()
}

// close has the goroutine end once the handler has heard of all losses.
func (l *losses) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.changed.Signal()
}

func (l *losses) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.pending) == 0 && !l.closed {
			l.changed.Wait()
		}
		batch := l.pending
		l.pending = nil
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, loss := range batch {
			l.handler(loss)
		}
	}
}
