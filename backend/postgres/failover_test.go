package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/internal/pgtest"
)

// A failover is a primary with a standby that takes over, and two clients that
// know both.
func TestFailover(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	for name, fault := range map[string]struct {
		end   func(*pgtest.Server) error
		bound time.Duration // from the fault to the loss, on a quiet machine
	}{
		"killed":  {(*pgtest.Server).Kill, time.Second},
		"stopped": {(*pgtest.Server).Stop, time.Second},
		"paused":  {(*pgtest.Server).Pause, ttl}, // it answers no more, and hangs up on nobody
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newServer(t)
			standby := pgtest.NewStandby(t, r.server, quick())
			url := pgtest.URL([]*pgtest.Server{r.server, standby}, "target_session_attrs=primary")
			a, b := r.client(url, dlock.WithTTL(ttl)), r.client(url, dlock.WithTTL(ttl))
			last := uint64(0)
			grown := func(h *dlock.Hold) {
				t.Helper()
				token, ok := h.Token()
				if !ok || token <= last {
					t.Errorf("token %d follows %d", token, last)
				}
				last = token
			}
			for range 50 {
				h := r.acquire(a.Mutex("x"))
				grown(h)
				r.must(h.Release(r.ctx))
			}
			h := r.acquire(a.Mutex("x"))
			grown(h)
			read := r.acquire(reader{a.RWMutex("x")})
			// One waits while it happens.
			granted := r.acquiring(b.Mutex("x"))
			r.waiters(1)

			start := time.Now()
			r.must(fault.end(r.server))
			r.loses(h)
			r.loses(read)
			// Patience on a busy machine, but the heartbeat is a third of the TTL.
			if late := time.Since(start); late > fault.bound+2*time.Second {
				t.Errorf("the loss was told after %v", late)
			} else {
				t.Logf("the loss was told after %v", late)
			}
			if err := h.Err(); !errors.Is(err, dlock.ErrLost) {
				t.Error(err)
			}
			r.must(standby.Promote())
			h = comes(r, "waiter's grant on the new primary", granted)
			t.Logf("the waiter has the lock after %v", time.Since(start))
			grown(h)
			r.must(h.Release(r.ctx))
			for _, c := range []*dlock.Client{a, b} {
				h := r.acquire(c.Mutex("x"))
				grown(h)
				r.must(h.Release(r.ctx))
				w := r.acquire(c.RWMutex("x"))
				r.must(w.Release(r.ctx))
			}
			if name == "paused" {
				r.must(r.server.Resume())
				r.until("the old primary has forgotten its sessions", func() bool { return len(r.backends()) == 0 })
			}
		})
	}
}
