//go:build race

package dlocktest

// maxGoroutines is how many goroutines a test may have: the race detector
// follows 8128.
const maxGoroutines = 5_000
