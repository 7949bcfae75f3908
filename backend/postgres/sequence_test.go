package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A store of a format that is newer than the client's is refused.
func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	url := r.app()
	r.client(r.url())
	comment := func() string {
		return ask[string](r, r.watch, "SELECT coalesce(obj_description('dlock.token'::regclass, 'pg_class'), '')")
	}
	if c := comment(); c != fmt.Sprint("dlock format ", format) {
		t.Errorf("the sequence has the comment %q", c)
	}
	r.exec(r.watch, "GRANT USAGE ON SCHEMA dlock TO "+r.role+"; GRANT USAGE, UPDATE ON SEQUENCE dlock.token TO "+r.role)
	for _, c := range []string{"dlock format 4711", "dlock format 4711, by a later version"} {
		r.exec(r.watch, "COMMENT ON SEQUENCE dlock.token IS '"+c+"'")
		for _, url := range []string{url, url + "&dlock_tokens=false", r.url()} {
			err := r.refused(url)
			for _, part := range []string{"format 4711", fmt.Sprint("up to ", format), open(t, url).String(), `"dlock"`} {
				if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %v", part, err)
				}
			}
		}
	}
	// Without a number it is ours, and whoever may writes that.
	for _, c := range []string{"NULL", "'somebody else''s'"} {
		r.exec(r.watch, "COMMENT ON SEQUENCE dlock.token IS "+c)
		before := comment()
		r.client(url)
		if after := comment(); after != before {
			t.Errorf("the sequence has the comment %q", after)
		}
	}
	r.exec(r.watch, "COMMENT ON SEQUENCE dlock.token IS NULL")
	tx := r.tx() // Somebody who is at the sequence is not waited for.
	_, err := tx.Exec(r.ctx, "COMMENT ON SEQUENCE dlock.token IS NULL")
	r.must(err)
	r.client(r.url())
	r.must(tx.Rollback(r.ctx))
	r.client(r.url())
	if c := comment(); c != fmt.Sprint("dlock format ", format) {
		t.Errorf("the sequence has the comment %q", c)
	}
}

// A standby may take over before it has heard of the sequence: the client makes it
// again, though it knows that it was there.
func TestSequenceIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	h := r.acquire(c.Mutex("x"))
	r.exec(r.watch, `DROP SCHEMA dlock CASCADE`)
	r.exec(r.watch, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dlock %'`)
	r.loses(h)
	h = r.acquire(c.Mutex("x"))
	if _, ok := h.Token(); !ok {
		t.Error("no token")
	}
	r.must(h.Release(r.ctx))
}

// token takes a lock and returns its token.
func (r *fixture) token(c *dlock.Client) uint64 {
	r.Helper()
	h := r.acquire(c.Mutex("x"))
	token, ok := h.Token()
	if !ok {
		r.Fatal("no token")
	}
	r.must(h.Release(r.ctx))
	return token
}

// opening opens a client, takes a token, and closes it.
func (r *fixture) opening(url string) uint64 {
	r.Helper()
	c := r.client(url)
	defer func() { r.must(c.Close(r.ctx)) }()
	return r.token(c)
}

// Tokens grow, whatever has become of the sequence.
func TestTokensGrowOverASequenceThatGoesBack(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	last := r.opening(r.url())
	grows := func(what string, url string) {
		t.Helper()
		next := r.opening(url)
		if next <= last {
			t.Errorf("%s: token %d follows %d", what, next, last)
		}
		last = next
	}
	made := time.UnixMicro(int64(last>>12) + epoch)
	if age := time.Since(made); age < -10*time.Second || age > time.Minute {
		t.Errorf("the first token is of %v", made)
	}
	grows("nothing has happened", r.url())
	// Whoever opens sessions in a row is a little ahead of the clock.
	clock := func() {
		r.until("the clock is beyond the last token", func() bool { return backend.OrdinalAt(time.Now()) > last>>12 })
	}
	clock()
	r.exec(r.watch, "ALTER SEQUENCE dlock.token RESTART 1")
	grows("started anew", r.url())
	clock()
	r.exec(r.watch, "DROP SEQUENCE dlock.token")
	grows("made anew", r.url())
	// While others draw from it, too.
	other := r.client(r.url())
	last = r.token(other)
	clock()
	r.exec(r.watch, "ALTER SEQUENCE dlock.token RESTART 1")
	grows("set back beside others", r.url())
	r.must(other.Close(r.ctx))
	r.exec(r.watch, "SELECT setval('dlock.token', nextval('dlock.token') + 1000000000000)")
	last = r.opening(r.url())
	grows("ahead of the clock", r.url())
}

// A client that is not alone takes no numbers away from the others, and spends none.
func TestOpenBesideOthersSpendsNoNumbers(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	c := r.client(r.url())
	r.exec(r.watch, "SELECT setval('dlock.token', nextval('dlock.token') + 1000000000000)") // ahead of the clock
	first := r.token(c) >> 12
	for range 10 {
		r.opening(r.url())
	}
	if next := r.token(c) >> 12; next <= first || next > first+100 {
		t.Errorf("ten sessions spent %d numbers", next-first)
	}
	r.must(c.Close(r.ctx))
	if next := r.opening(r.url()) >> 12; next < first+500_000 {
		t.Errorf("a session that is alone lifts the sequence by %d", next-first)
	}
}

// A sequence that an earlier version has made is converted by its owner.
func TestFormerSequenceIsConverted(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.exec(r.watch, "CREATE SCHEMA dlock; CREATE SEQUENCE dlock.token CACHE 1 MAXVALUE 17592186044415; COMMENT ON SEQUENCE dlock.token IS 'dlock format 1'")
	url := r.app()
	r.exec(r.watch, "GRANT USAGE ON SCHEMA dlock TO "+r.role+"; GRANT USAGE, UPDATE ON SEQUENCE dlock.token TO "+r.role)
	if err := r.refused(url); !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), "owner") {
		t.Error(err)
	}
	if token := r.opening(r.url()); token>>12 <= 2<<44 {
		t.Errorf("the token is %d", token)
	}
	r.opening(url)
	if c := ask[string](r, r.watch, "SELECT obj_description('dlock.token'::regclass, 'pg_class')"); c != "dlock format 2" {
		t.Errorf("the sequence has the comment %q", c)
	}
}

// A sequence that is not as it has to be is refused, and so is a role that may not lift it.
func TestSequenceThatIsNotFit(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	url := r.app()
	r.exec(r.watch, "CREATE SCHEMA dlock; GRANT USAGE ON SCHEMA dlock TO "+r.role)
	for _, with := range []string{"", "MAXVALUE 2251799813685247 CACHE 2", "MAXVALUE 2251799813685247 CYCLE", "MAXVALUE 2251799813685247 INCREMENT 2", "MAXVALUE 2251799813685248"} {
		r.exec(r.watch, "CREATE SEQUENCE dlock.token "+with)
		if err := r.refused(r.url()); !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), "MAXVALUE 2251799813685247") {
			t.Errorf("%s: %v", with, err)
		}
		r.exec(r.watch, "DROP SEQUENCE dlock.token")
	}
	r.exec(r.watch, "CREATE SEQUENCE dlock.token MAXVALUE 2251799813685247; GRANT USAGE ON SEQUENCE dlock.token TO "+r.role)
	err := r.refused(url)
	text := err.Error()
	first, last := strings.Index(text, "GRANT USAGE"), strings.LastIndex(text, " (or ")
	if first < 0 || last < first || !strings.Contains(text, "UPDATE") {
		t.Fatal(err)
	}
	r.exec(r.watch, text[first:last])
	r.opening(url)
}

// Nobody opens a session before a lift of another is on the disk.
func TestLiftsGoOneByOne(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.opening(r.url())
	tx := r.tx()
	key := Key{}.derive("lift dlock")
	if _, err := tx.Exec(r.ctx, "SELECT pg_advisory_xact_lock($1)", key); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	if _, err := open(t, r.url()).Open(ctx, 10*time.Second, backend.ClientInfo{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lifting the sequence") {
		t.Error(err)
	}
	r.must(tx.Rollback(r.ctx))
	r.opening(r.url())
}

// Somebody changes the sequence and takes his time. Whoever holds something keeps it, and
// can release it; locks are to be had again when there are tokens.
func TestHolderDoesNotWaitForTheSequence(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	r := newFixture(t)
	c, other := r.client(r.url(), dlock.WithTTL(ttl)), r.client(r.url())
	kept := r.acquire(c.Mutex("kept"))
	var holds []*dlock.Hold
	for i := range 8 {
		holds = append(holds, r.acquire(c.Mutex(fmt.Sprint(i))))
	}
	contended := r.acquire(other.Mutex("contended"))
	tickets := r.acquire(other.Semaphore("contended", 1))
	waiting := []<-chan *dlock.Hold{r.acquiring(c.Mutex("contended")), r.acquiring(c.Semaphore("contended", 1))}
	r.waiters(1)
	tx := r.tx()
	if _, err := tx.Exec(r.ctx, "ALTER SEQUENCE dlock.token OWNED BY NONE"); err != nil {
		t.Fatal(err)
	}
	want := func() error {
		ctx, cancel := context.WithTimeout(r.ctx, ttl/2)
		defer cancel()
		_, err := c.Mutex("wanted").Acquire(ctx)
		return err
	}
	if err := want(); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	r.must(contended.Release(r.ctx))
	r.must(tickets.Release(r.ctx))
	granted := r.acquiring(c.Mutex("wanted"))
	for _, h := range holds {
		time.Sleep(ttl / 8)
		start := time.Now()
		r.must(h.Release(r.ctx))
		if took := time.Since(start); took > ttl/4 {
			t.Errorf("a release took %v", took)
		}
	}
	r.must(kept.Err())
	if len(granted)+len(waiting[0])+len(waiting[1]) > 0 {
		t.Error("a lock without a token")
	}
	r.must(tx.Rollback(r.ctx))
	for _, granted := range append(waiting, granted) {
		h := comes(r, "grant", granted)
		if _, ok := h.Token(); !ok {
			t.Error("no token")
		}
		r.must(h.Release(r.ctx))
	}
	r.must(kept.Release(r.ctx))
}

// No keepalive ends a connection before the client counts it as lost.
func TestKeepalivesLastForTheTTL(t *testing.T) {
	for ttl := 100 * time.Millisecond; ttl < 2*time.Minute; ttl += 130 * time.Millisecond {
		of := make(map[string]int64)
		for _, s := range settings(ttl, backend.ClientInfo{}) {
			n, _ := strconv.ParseInt(s[1], 10, 64)
			of[s[0]] = n
		}
		if lasts := time.Duration(of["tcp_keepalives_idle"]+of["tcp_keepalives_count"]*of["tcp_keepalives_interval"]) * time.Second; lasts < ttl {
			t.Errorf("with a TTL of %v keepalives end after %v", ttl, lasts)
		}
	}
}
