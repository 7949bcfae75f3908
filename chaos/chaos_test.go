package main

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/run"
	"github.com/dlock-go/dlock/chaos/store"
)

var (
	seed     = flag.Uint64("chaos.seed", 0, "repeat the runs of this seed")
	duration = flag.Duration("chaos.duration", 12*time.Second, "of each run")
)

// TestChaos is a short version of what the command does: two runs of each backend,
// with primitives that change from one time to the next.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes its time")
	}
	dir := t.TempDir()
	worker, err := run.Build(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	first := *seed
	if first == 0 {
		first = rand.Uint64() >> 12
	}
	makers, err := store.Select("")
	if err != nil {
		t.Fatal(err)
	}
	next := run.Seeds(first)
	for _, m := range makers {
		seed := next()
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			seeds := run.Seeds(seed)
			classes := []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore}
			skip := int(seed % 3)
			for i, class := range classes {
				if i == skip {
					continue
				}
				c := run.Config{Store: m, Class: class, Seed: seeds(), Duration: *duration, Worker: worker}
				r, err := run.Do(t.Context(), c)
				if store.Missing(err) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatalf("-chaos.seed %d: %v", first, err)
				}
				var b strings.Builder
				r.Print(&b)
				t.Log(b.String())
				if n := r.Verdict.Violations(); n > 0 {
					t.Errorf("-chaos.seed %d: %d violations", first, n)
				}
				for _, why := range r.Verdict.Void {
					t.Errorf("-chaos.seed %d: the run is void: %s", first, why)
				}
			}
		})
	}
}
