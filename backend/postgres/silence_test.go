package postgres

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// That a lease is not renewed is told while it lasts.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	r := newServer(t)
	b := r.bare(r.url(), ttl)
	a := b.acquire(backend.Mutex, "a")
	results, leases, err := b.Apply(r.ctx, []backend.Op{a})
	r.must(err)
	if results[0].State != backend.Granted || len(leases) != 1 || leases[0].Err != nil {
		t.Fatal(results, leases)
	}
	until := leases[0].Until
	r.must(r.server.Pause())
	defer r.server.Resume()
	results, leases, err = b.Apply(r.ctx, []backend.Op{b.release(a)})
	r.must(err)
	if results[0].State != backend.Unknown || results[0].Err == nil {
		t.Error(results)
	}
	if len(leases) != 1 || leases[0].Err == nil || leases[0].ID != holderLease || !leases[0].Until.Equal(until) {
		t.Error(leases)
	}
	r.must(r.server.Resume())
	b.apply([]backend.Op{b.release(a)}, backend.Released)
}
