package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// The greatest ordinal that a server can give is one that a token can carry; a server
// beyond that is refused.
func TestOrdinalsAreNotTooGreat(t *testing.T) {
	t.Parallel()
	for timeline := range uint64(300) {
		above, err := ordinalsOf(fmt.Sprintf("%08X0000000100000002", timeline))
		switch {
		case err == nil && above|maxNumber > backend.MaxOrdinal:
			t.Fatalf("on timeline %d an ordinal may be %d", timeline, above|maxNumber)
		case err == nil && above>>numberBits != timeline:
			t.Fatalf("timeline %d is taken for %d", timeline, above>>numberBits)
		case err != nil && (!errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), fmt.Sprint("timeline ", timeline))):
			t.Fatal(err)
		case (err != nil) != (timeline > backend.MaxOrdinal>>numberBits):
			t.Fatalf("timeline %d: %v", timeline, err)
		}
	}
	r := newRig(t)
	r.exec(r.watch, "CREATE SCHEMA dlock; CREATE SEQUENCE dlock.token CACHE 1")
	if err := r.refused(r.url()); !strings.Contains(err.Error(), fmt.Sprint("MAXVALUE of at most ", int64(maxNumber))) {
		t.Error(err)
	}
}

// A store of a format that is newer than the client's is refused.
func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	url := r.app()
	r.client(r.url())
	comment := func() string {
		return ask[string](r, r.watch, "SELECT coalesce(obj_description('dlock.token'::regclass, 'pg_class'), '')")
	}
	if c := comment(); c != fmt.Sprint("dlock format ", format) {
		t.Errorf("the sequence has the comment %q", c)
	}
	r.exec(r.watch, "GRANT USAGE ON SCHEMA dlock TO "+r.role+"; GRANT USAGE ON SEQUENCE dlock.token TO "+r.role)
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
	// Without a number it is the first, and whoever may writes that.
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
	_, err := tx.Exec(r.ctx, "ALTER SEQUENCE dlock.token OWNED BY NONE")
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
	r := newRig(t)
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
