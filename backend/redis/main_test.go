package redis_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dlock-go/dlock/dlocktest"
)

// TestMain lets the test binary stand for other processes. Else it runs the tests,
// and fails when they leave goroutines.
func TestMain(m *testing.M) {
	if url := os.Getenv(holderURL); url != "" {
		if err := holder(url); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv("DLOCKTEST_CHILD") != "" {
		dlocktest.Main(m)
	}
	code := m.Run()
	// A pool of go-redis that could not dial tries again for a second after it was
	// closed.
	err := goleak.Find()
	for deadline := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(deadline); err = goleak.Find() {
	}
	if err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}
