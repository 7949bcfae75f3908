package notify

import (
	"os"
	"sync"
	"time"
)

// A poller is the watcher of systems that tell nothing: it only keeps time.
type poller struct {
	mu   sync.Mutex
	at   time.Time
	wake chan struct{} // cap 1; sent to by Until and Close, received from by Wait
	done bool
}

func newPoller() *poller { return &poller{wake: make(chan struct{}, 1)} }

func (*poller) Add(string, Attention) (Watch, bool) { return 0, false }
func (*poller) Lack() error                         { return nil }
func (*poller) Remove(Watch)                        {}
func (*poller) Exact() bool                         { return false }

func (p *poller) Until(t time.Time) { p.set(t, false) }
func (p *poller) Close()            { p.set(time.Time{}, true) }

func (p *poller) set(t time.Time, done bool) {
	p.mu.Lock()
	p.at, p.done = t, p.done || done
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // Wait has not yet seen an earlier change, and will see both
	}
}

func (p *poller) Wait() ([]Notice, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		at, done := p.at, p.done
		p.mu.Unlock()
		if done {
			return nil, os.ErrClosed
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
