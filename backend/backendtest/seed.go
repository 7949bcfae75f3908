package backendtest

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random tests; 0 makes one up")

// Rand returns a source of random numbers for a test, seeded by the flag -seed.
// When the test fails the seed is logged, so that it can be run again.
func Rand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run it again with: go test . -run %q -seed %d", "^"+t.Name()+"$", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}
