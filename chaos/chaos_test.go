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
				void := judge(t, c)
				for range 2 { // A machine that is busy with other runs may have shown nothing.
					if len(void) == 0 || t.Failed() {
						break
					}
					t.Logf("once more, since it is void: %q", void)
					c.Seed = seeds()
					void = judge(t, c)
				}
				for _, why := range void {
					t.Errorf("-chaos.seed %d: the run is void: %s", first, why)
				}
			}
		})
	}
}

// judge fails a test if a run has violations, and returns why it shows nothing.
func judge(t *testing.T, c run.Config) (void []string) {
	t.Helper()
	r, err := run.Do(t.Context(), c)
	if store.Missing(err) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r.Print(&b)
	t.Log(b.String())
	if n := r.Verdict.Violations(); n > 0 {
		t.Errorf("%d violations", n)
	}
	return r.Verdict.Void
}
