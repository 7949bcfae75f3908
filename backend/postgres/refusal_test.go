package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/pgtest"
)

// A bare is a session without a client.
type bare struct {
	*fixture
	backend.Session
	owner uint64
	ops   map[uint64]backend.Op // the Acquires by their owners
}

// bare opens a session.
func (r *fixture) bare(url string, ttl time.Duration, options ...Option) *bare {
	r.Helper()
	s, err := open(r.T, url, options...).Open(r.ctx, ttl, backend.ClientInfo{})
	r.must(err)
	r.Cleanup(func() { _ = s.Close(context.Background()) })
	return &bare{r, s, 0, make(map[uint64]backend.Op)}
}

// acquire returns an Acquire by a new owner.
func (b *bare) acquire(class backend.Class, name string) backend.Op {
	b.owner++
	op := backend.Op{Do: backend.Acquire, Class: class, Mode: backend.Exclusive, Owner: b.owner, Name: name, Limit: 1}
	b.ops[b.owner] = op
	return op
}

// release returns the Release that belongs to an Acquire.
func (b *bare) release(op backend.Op) backend.Op {
	op.Do = backend.Release
	return op
}

// apply applies ops and checks their outcomes.
func (b *bare) apply(ops []backend.Op, want ...backend.State) []backend.Result {
	b.Helper()
	results, _, err := b.Apply(b.ctx, ops)
	b.must(err)
	for i, r := range results {
		if r.State != want[i] {
			b.Fatalf("op %d of %+v has state %d and error %v, want state %d", i, ops, r.State, r.Err, want[i])
		}
	}
	return results
}

// held returns how many advisory locks there are.
func (r *fixture) held() int {
	r.Helper()
	return ask[int](r, r.watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
}

// appRole makes a role without privileges that may use the sequence, and returns the
// address of the server for it.
func (r *fixture) appRole() string {
	r.Helper()
	url := r.app()
	r.client(r.url()) // The superuser makes the sequence.
	r.exec(r.watch, "GRANT USAGE ON SCHEMA dlock TO "+r.role+"; GRANT USAGE, UPDATE ON SEQUENCE dlock.token TO "+r.role)
	return url
}

// What the server refuses until somebody changes something has failed, with nothing
// left behind, and without harm to what else is asked for in the same batch.
func TestDeniedAcquire(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	b := r.bare(r.appRole(), 10*time.Second)
	a, c := b.acquire(backend.Mutex, "a"), b.acquire(backend.Semaphore, "c")
	b.apply([]backend.Op{a, c}, backend.Granted, backend.Granted)
	before := r.held()
	for _, change := range [][2]string{
		{"REVOKE ALL ON SEQUENCE dlock.token FROM " + r.role, "GRANT USAGE, UPDATE ON SEQUENCE dlock.token TO " + r.role},
		{"ALTER SEQUENCE dlock.token RENAME TO gone", "ALTER SEQUENCE dlock.gone RENAME TO token"},
	} {
		d, e, f := b.acquire(backend.Mutex, "d"), b.acquire(backend.RWMutex, "e"), b.acquire(backend.Semaphore, "f")
		r.exec(r.watch, change[0])
		if strings.Contains(change[0], "RENAME") {
			// The name is looked up when the server has forgotten its plans.
			r.exec(r.watch, "ALTER SEQUENCE dlock.gone MINVALUE 0")
			b.apply(nil)
		}
		for _, result := range b.apply([]backend.Op{d, b.release(a), e, f, b.release(c)}, backend.Failed, backend.Released, backend.Failed, backend.Failed, backend.Released) {
			if result.State == backend.Failed && !errors.Is(result.Err, backend.ErrDenied) {
				t.Error(result.Err)
			}
		}
		if n := r.held(); n != 0 {
			t.Errorf("%d locks are left, of %d", n, before)
		}
		r.exec(r.watch, change[1])
		a, c = b.acquire(backend.Mutex, "a"), b.acquire(backend.Semaphore, "c")
		b.apply([]backend.Op{a, c}, backend.Granted, backend.Granted)
	}
}

// A release that the server refuses frees nothing, and says so until it does.
func TestRefusedRelease(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	b := r.bare(r.appRole(), 10*time.Second)
	const revoke, grant = "REVOKE EXECUTE ON FUNCTION pg_advisory_unlock(bigint) FROM PUBLIC", "GRANT EXECUTE ON FUNCTION pg_advisory_unlock(bigint) TO PUBLIC"
	for _, names := range [][]string{{"a"}, {"a", "b"}} {
		var all, releases []backend.Op
		var granted, refused, released []backend.State
		for _, name := range names {
			for _, class := range []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore} {
				all = append(all, b.acquire(class, name))
				releases = append(releases, b.release(all[len(all)-1]))
				granted, refused, released = append(granted, backend.Granted), append(refused, backend.Refused), append(released, backend.Released)
			}
		}
		b.apply(all, granted...)
		before := r.held()
		r.exec(r.watch, revoke)
		for range 2 {
			for i := range releases {
				if result := b.apply(releases[i:i+1], backend.Refused)[0]; sqlState(result.Err) != "42501" {
					t.Error(result.Err)
				}
			}
			b.apply(releases, refused...)
		}
		// It is held, and not by whoever asks next.
		if n := r.held(); n != before {
			t.Errorf("%d of %d locks are held", n, before)
		}
		b.apply([]backend.Op{b.acquire(backend.Mutex, "a")}, backend.Busy)
		r.exec(r.watch, grant)
		b.apply(releases, released...)
		b.apply(all[:0])
		if n := r.held(); n != 0 {
			t.Errorf("%d locks are left", n)
		}
	}
}

// A statement that fails has nothing to do with others of the same round.
func TestRefusedCancellationDoesNotConcernOthers(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	b := r.bare(r.appRole(), 2*time.Second)
	h := r.acquire(r.client(r.url()).Mutex("x"))
	r.exec(r.watch, "REVOKE EXECUTE ON FUNCTION pg_cancel_backend(int) FROM PUBLIC")
	waits := b.acquire(backend.Mutex, "x")
	waits.Wait = true
	r.until("it is queued", func() bool {
		results, _, err := b.Apply(r.ctx, []backend.Op{waits})
		r.must(err)
		return results[0].State == backend.Queued
	})
	r.waiters(1)
	y := b.acquire(backend.Mutex, "y")
	b.apply([]backend.Op{y}, backend.Granted)
	b.apply([]backend.Op{b.release(y)}, backend.Released)
	r.must(h.Release(r.ctx))
	r.until("the wait is over", func() bool {
		results, _, err := b.Apply(r.ctx, []backend.Op{b.release(waits)})
		r.must(err)
		return results[0].State == backend.Released
	})
}

func TestWhatErrorsMean(t *testing.T) {
	for code, want := range map[string]error{
		"53300": nil, "57P03": nil, "25006": nil, "28P01": nil, "28000": nil, "53200": nil, "53100": nil, "58030": nil, "XX000": nil, "40001": nil,
		"42501": backend.ErrDenied, "42883": backend.ErrDenied, "42P01": backend.ErrDenied, "3D000": backend.ErrDenied, "2200H": backend.ErrDenied,
		"0A000": backend.ErrUnsupported,
	} {
		server := &pgconn.PgError{Code: code}
		result := refusal(explained(server))
		opening := unopened(fmt.Errorf("connecting: %w", server))
		if !errors.Is(result.Err, server) || !errors.Is(opening, server) {
			t.Errorf("%s: %v; %v", code, result.Err, opening)
		}
		switch {
		case want == nil && (result.State != backend.Refused || errors.Is(opening, backend.ErrDenied) || errors.Is(opening, backend.ErrUnsupported)):
			t.Errorf("%s that can pass has state %d and fails Open with %v", code, result.State, opening)
		case want != nil && (result.State != backend.Failed || !errors.Is(result.Err, want) || !errors.Is(opening, want)):
			t.Errorf("%s that lasts has state %d, %v and fails Open with %v", code, result.State, result.Err, opening)
		}
	}
	// Of several hosts one may still be right.
	if err := unopened(errors.Join(&pgconn.PgError{Code: "3D000"}, errors.New("no route to host"))); errors.Is(err, backend.ErrDenied) {
		t.Error(err)
	}
}

func TestRefusedOpening(t *testing.T) {
	t.Parallel()
	config := quick()
	config.Trust = false
	r := rigOn(t, pgtest.New(t, config), pgtest.Database)
	url := r.app()
	for _, c := range []struct {
		url    string
		code   string
		denied bool
	}{
		{strings.Replace(r.url(), "/"+r.database+"?", "/nowhere?", 1), "3D000", true},
		{strings.Replace(r.url(), pgtest.Password, "a-guess", 1), "28P01", false},
		{url, "42501", true}, // to make the sequence
	} {
		_, err := open(t, c.url).Open(r.ctx, 10*time.Second, backend.ClientInfo{})
		if sqlState(err) != c.code || errors.Is(err, backend.ErrDenied) != c.denied {
			t.Errorf("want %s, got %v", c.code, err)
		}
	}
	r.client(r.url())
	if _, err := open(t, url).Open(r.ctx, 10*time.Second, backend.ClientInfo{}); !errors.Is(err, backend.ErrDenied) { // to use it
		t.Error(err)
	}
}

// Nothing but its ctx ends an Open, and then it says what it was at.
func TestOpenTakesAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	const ttl = 200 * time.Millisecond
	r := newFixture(t)
	tx := r.tx()
	_, err := tx.Exec(r.ctx, "CREATE SCHEMA dlock")
	r.must(err)
	st := open(t, r.url())
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	_, err = st.Open(ctx, ttl, backend.ClientInfo{})
	if ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "creating the sequence") {
		t.Errorf("within %v: %v", ttl, err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := st.Open(r.ctx, ttl, backend.ClientInfo{})
		if err == nil {
			err = s.Close(r.ctx)
		}
		opened <- err
	}()
	r.until("it waits", func() bool {
		return ask[bool](r, r.watch, "SELECT EXISTS(SELECT FROM pg_locks WHERE NOT granted)")
	})
	time.Sleep(2 * ttl)
	r.must(tx.Commit(r.ctx))
	r.must(comes(r, "session", opened))
}
