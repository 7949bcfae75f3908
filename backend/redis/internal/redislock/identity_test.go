package redislock

import (
	"strings"
	"testing"
)

// A reason that is too long ends with a whole character.
func TestReasonsEndWithARune(t *testing.T) {
	if got, want := Brief("x"+strings.Repeat("é", 1<<10)), "x"+strings.Repeat("é", 511); got != want {
		t.Errorf("%d bytes, which end with %q", len(got), got[len(got)-3:])
	}
}
