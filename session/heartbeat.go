package session

import (
	"context"
	"sync"
	"time"
)

// A heartbeat watches the time for a link: it has it look whether a heartbeat is due,
// and cuts the session short when a batch gets no answer. A batch only notes down
// when it was; no timer is touched for it.
type heartbeat struct {
	link *Link
	cut  context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	armed   time.Time // when the timer fires, or zero
	begun   time.Time // when the batch under way began, or zero
	beat    time.Time // when the next heartbeat is due
	spared  time.Time // the beginning of the batch that got more time
	stopped bool
}

// start begins with a session, which cut ends.
func (p *heartbeat) start(l *Link, cut context.CancelCauseFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link, p.cut, p.stopped = l, cut, false
	p.begun, p.armed = time.Time{}, time.Time{}
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Hour, p.fire)
	}
	p.beat = time.Now().Add(l.ttl / 3)
	p.arm(p.beat)
}

// stop ends the watch over a session.
func (p *heartbeat) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.timer.Stop()
}

// begin notes that a batch begins.
func (p *heartbeat) begin(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = now
	if p.armed.IsZero() {
		p.arm(p.begun.Add(p.link.ttl))
	}
}

// end notes that the batch was answered, and sets the next heartbeat that long
// after its beginning.
func (p *heartbeat) end(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(p.begun.Add(after))
}

// endAt notes that the batch was answered, and sets the time of the next heartbeat.
func (p *heartbeat) endAt(beat time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(beat)
}

func (p *heartbeat) set(beat time.Time) {
	p.beat = beat
	p.begun = time.Time{}
	// A timer that fires too early only looks again; one that fires too late has
	// to be set anew.
	if p.armed.IsZero() || p.beat.Before(p.armed) {
		p.arm(p.beat)
	}
}

// due reports whether it is time for a heartbeat. If not, it will look again.
func (p *heartbeat) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.beat) {
		p.arm(p.beat)
		return false
	}
	return true
}

func (p *heartbeat) arm(at time.Time) {
	p.armed = at
	p.timer.Reset(time.Until(at))
}

// fire is called by the timer.
func (p *heartbeat) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.armed.IsZero() {
		return
	}
	late := time.Since(p.armed) > p.link.ttl/8
	p.armed = time.Time{}
	if p.begun.IsZero() {
		p.link.in <- task{kind: tick} // At most one at a time: the next is armed when it was received.
		return
	}
	// Where the process itself has stood still, its answer may be there and was not
	// taken. What depends on a lease has a deadline of its own.
	if late && p.spared != p.begun {
		p.spared = p.begun
	} else if time.Since(p.begun) >= p.link.ttl {
		p.cut(errOverdue)
		return
	}
	p.arm(time.Now().Add(p.link.ttl / 8))
}
