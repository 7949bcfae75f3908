package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
	"github.com/dlock-go/dlock/backend/postgres/internal/pgwire"
)

// kill ends the backends of dlock's clients, and returns when they are gone.
func (r *fixture) kill() {
	r.Helper()
	r.exec(r.watch, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name LIKE 'dlock %'")
}

// Whoever releases right after the backend was killed learns that the lock had been
// lost, however soon that is.
func TestReleaseAfterTheBackendWasKilled(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	for i := range 30 {
		h := r.acquire(c.Mutex("x"))
		read := r.acquire(reader{c.RWMutex("x")})
		if i%2 == 0 {
			time.Sleep(2 * aside) // so that the connection is read when it ends
		}
		r.kill()
		for _, h := range []*dlock.Hold{h, read} {
			if err := h.Release(r.ctx); !errors.Is(err, dlock.ErrLost) {
				t.Errorf("after %d: %v", i, err)
			}
		}
	}
	err := c.Mutex("x").Do(r.ctx, func(context.Context) error { r.kill(); return nil })
	if !errors.Is(err, dlock.ErrLost) {
		t.Error(err)
	}
}

// A mid is a session that reaches its server through a hole, and holds two locks.
type mid struct {
	*bare
	hole  *hole
	holds []backend.Op
	other backend.Op // is not held
}

func newMid(t *testing.T) *mid {
	r := newFixture(t)
	m := &mid{hole: newHole(r)}
	m.bare = r.bare(m.hole.url(r), 10*time.Second)
	m.holds = []backend.Op{m.acquire(backend.Mutex, "x"), m.acquire(backend.Semaphore, "x")}
	m.apply(m.holds, backend.Granted, backend.Granted)
	m.other = m.acquire(backend.RWMutex, "y")
	return m
}

// withhold keeps back what the server says on the nth connection, until the function
// that it returns is called.
func (m *mid) withhold(n int) (free func()) {
	word := m.hole.delay(n)
	free = sync.OnceFunc(func() { close(word) })
	m.Cleanup(free)
	return free
}

// releases returns the releases of all holds, behind an Acquire.
func (m *mid) releases() []backend.Op {
	return []backend.Op{m.other, m.release(m.holds[0]), m.release(m.holds[1])}
}

// over checks that all later calls tell the end of the session.
func (m *mid) over() {
	m.Helper()
	if _, err := m.Recv(m.ctx); err == nil {
		m.Error("Recv does not tell the end of the session")
	}
	if _, _, err := m.Apply(m.ctx, m.releases()); !errors.Is(err, backend.ErrSessionOver) {
		m.Errorf("a dead session answers %v", err)
	}
}

// The server has ended the session, and its word of that comes after the release was
// sent: it came too late, and that is known.
func TestReleaseThatIsTooLate(t *testing.T) {
	t.Parallel()
	m := newMid(t)
	word := m.withhold(0)
	m.kill()
	time.AfterFunc(100*time.Millisecond, word) // so that the release is sent
	m.apply(m.releases(), backend.Unknown, backend.NotHeld, backend.NotHeld)
	m.over()
}

// The server has carried the release out and ends the session before its answer is
// here. The answer counts.
func TestReleaseBeforeTheEnd(t *testing.T) {
	t.Parallel()
	m := newMid(t)
	word := m.withhold(0)
	go func() {
		defer word()
		m.until("all is released", func() bool { return m.held() == 0 })
		m.kill()
	}()
	results, _, err := m.Apply(m.ctx, m.releases()[1:])
	m.must(err)
	for _, r := range results {
		if r.State != backend.Released {
			t.Error(results)
		}
	}
}

// The connection ends without a word when the release was sent: nobody knows whether
// it was carried out.
func TestReleaseWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	m := newMid(t)
	word := m.withhold(0)
	go func() {
		defer word()
		m.until("all is released", func() bool { return m.held() == 0 })
		m.hole.mu.Lock()
		m.hole.pipes[0].close()
		m.hole.mu.Unlock()
	}()
	results, _, err := m.Apply(m.ctx, m.releases()[1:])
	if err == nil || errors.Is(err, backend.ErrSessionOver) {
		t.Errorf("what nobody knows is told: %v, %v", results, err)
	}
	m.over()
}

// Of releases in one statement some have been carried out.
func TestReleasesThatWereBrokenOff(t *testing.T) {
	r := &pgwire.Reply{Sets: []pgwire.Set{{Rows: []int64{1, 0, 9}, End: 3}}, Rows: []int64{1, 0, 9, 1, 0, 9, 0, 0}}
	for _, many := range []int{0, 1} {
		got := ""
		answeredBy(r, make([]request, many), make([]request, 3), func(_ *request, result int64) { got += fmt.Sprint(result) })
		if want := []string{"1", "11"}[many]; got != want {
			t.Errorf("after %d requests: %s, want %s", many, got, want)
		}
	}
}

// The server answers that the session does not hold the lock: a pooler has reset the
// connection, say.
func TestReleaseOfWhatTheServerDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := newMid(t)
	s := m.Session.(*session)
	s.mu.Lock()
	s.holder.extras = append(s.holder.extras, extra{pgsql.UnlockAll, nil, func([]int64, *pgconn.PgError) {}})
	s.mu.Unlock()
	m.apply(nil)
	m.apply(m.releases()[:2], backend.Unknown, backend.NotHeld)
	if _, _, err := m.Apply(m.ctx, nil); err == nil {
		t.Error("a session that has lost what it held goes on")
	}
}

// What a wait session keeps is lost with it. A release that comes then, or was on its
// way, came too late.
func TestReleaseOfAKeeper(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	other := r.client(r.url())
	hole := newHole(r)
	b := r.bare(hole.url(r), 10*time.Second)
	holder := r.backends()
	kept := func() backend.Op {
		for {
			h := r.acquire(other.Mutex("x"))
			op := b.acquire(backend.Mutex, "x")
			op.Wait = true
			r.until("it is queued", func() bool {
				results, _, err := b.Apply(r.ctx, []backend.Op{op})
				r.must(err)
				return results[0].State == backend.Queued
			})
			r.must(h.Release(r.ctx))
			r.until("it is granted", func() bool {
				results, _, err := b.Apply(r.ctx, []backend.Op{op})
				r.must(err)
				return results[0].State == backend.Granted
			})
			s := b.Session.(*session)
			s.mu.Lock()
			keeps := s.claims[op.Owner].grip.waiter != nil && s.claims[op.Owner].grip.waiter.owes == nil
			s.mu.Unlock()
			if keeps {
				return op
			}
			b.apply([]backend.Op{b.release(op)}, backend.Released)
		}
	}
	kill := func() {
		r.exec(r.watch, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name LIKE 'dlock %' AND NOT pid = ANY($1)", holder)
	}
	op := kept()
	kill()
	b.apply([]backend.Op{b.release(op)}, backend.NotHeld)
	op = kept()
	m := &mid{bare: b, hole: hole}
	word := m.withhold(hole.opened() - 1)
	kill()
	time.AfterFunc(100*time.Millisecond, word) // so that the release is sent
	b.apply([]backend.Op{b.release(op)}, backend.NotHeld)
	op = kept()
	b.apply([]backend.Op{b.release(op)}, backend.Released)
}
