package dlocktest

import (
	"flag"
	"math/rand/v2"
)

var seedFlag = flag.Uint64("dlocktest.seed", 0, "seed of the random tests of dlocktest; 0 makes one up")

// random returns a source of random numbers. When the test fails its seed is
// logged, so that it can be run again.
func (f *fixture) random() *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	f.Cleanup(func() {
		if f.Failed() {
			f.Logf("run it again with -dlocktest.seed=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}
