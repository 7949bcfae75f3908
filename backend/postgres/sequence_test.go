package postgres

import "testing"

// A standby may take over before it has heard of the sequence: the client makes it
// again, though it knows that it was there.
func TestSequenceIsMadeAgain(t *testing.T) {
	t.Parallel()
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
