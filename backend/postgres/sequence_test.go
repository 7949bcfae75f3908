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
	if err := r.refused(r.server.URL()); !strings.Contains(err.Error(), fmt.Sprint("MAXVALUE of at most ", int64(maxNumber))) {
		t.Error(err)
	}
}

// A standby may take over before it has heard of the sequence: the client makes it
// again, though it knows that it was there.
func TestSequenceIsMadeAgain(t *testing.T) {
	r := newRig(t)
	c := r.client(r.server.URL())
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
