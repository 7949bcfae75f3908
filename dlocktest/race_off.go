//go:build !race

package dlocktest

// maxGoroutines is how many goroutines a test may have.
const maxGoroutines = 10_000
