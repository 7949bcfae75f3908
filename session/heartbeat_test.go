package session

import (
	"context"
	"testing"
	"time"
)

// A batch without an answer ends the session after the time to live. If the process was
// stopped meanwhile, and looks too late, the answer gets a moment more to be taken, once.
func TestPulseOfAStoppedProcess(t *testing.T) {
	const ttl = time.Hour
	for _, test := range []struct {
		name      string
		stoodFor  time.Duration // since the timer was to fire
		endsFirst bool
	}{
		{"runs", 0, true},
		{"is a little late", ttl / 16, true},
		{"was stopped", ttl / 2, false},
	} {
		ctx, cut := context.WithCancelCause(t.Context())
		var p heartbeat
		p.start(&Link{ttl: ttl}, cut)
		defer p.stop()
		p.begin(time.Now().Add(-2 * ttl))
		p.armed = time.Now().Add(-test.stoodFor)
		p.fire()
		if ended := ctx.Err() != nil; ended != test.endsFirst {
			t.Errorf("a process that %s: the session has ended: %v", test.name, ended)
		}
		p.armed = time.Now().Add(-test.stoodFor)
		if p.fire(); ctx.Err() == nil {
			t.Errorf("a process that %s: the session never ends", test.name)
		}
	}
}
