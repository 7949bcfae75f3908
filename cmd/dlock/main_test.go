//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// binary is the dlock that the tests run: the test's own binary, which is dlock
// when asDlock is set, and knows the stores of the tests beside the usual ones.
var binary string

const asDlock = "DLOCK_TEST_AS_DLOCK"

func TestMain(m *testing.M) {
	if os.Getenv(asDlock) != "" {
		main()
	}
	var err error
	if binary, err = os.Executable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv(asDlock, "yes")
	// The race detector would have each dlock stay for a second.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Unsetenv(urlVariable)
	// Whoever started the tests in the background may have had these ignored, and
	// what is ignored is inherited. What is caught is not.
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	os.Exit(m.Run())
}
