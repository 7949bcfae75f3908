package postgres

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
)

// TestDescriptors closes clients that have held and awaited: every connection is
// closed at this end too.
func TestDescriptors(t *testing.T) {
	r := newFixture(t)
	before := descriptors(t)
	for range 3 {
		a, b := r.client(r.url()), r.client(r.url())
		held := r.acquire(a.Mutex("x"))
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if _, err := b.Mutex("x").Acquire(ctx); err == nil {
			t.Error("acquired what another client holds")
		}
		cancel()
		r.must(held.Release(context.Background()))
		for _, c := range []*dlock.Client{a, b} {
			r.must(c.Close(context.Background()))
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors at first, and %d when all clients are closed", before, after)
	}
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
