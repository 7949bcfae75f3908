//go:build unix

package file_test

import (
	"os"
	"testing"
)

// TestMain lets the test binary stand for other processes; see process_test.go.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	os.Exit(m.Run())
}
