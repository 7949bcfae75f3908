package session

import (
	"testing"
	"time"
)

// A wall clock that is set back does not take back what was counted, nor hide the next
// sleep.
func TestLeaps(t *testing.T) {
	var l leaps
	for i, c := range []struct{ step, sum time.Duration }{
		{0, 0},
		{300 * time.Millisecond, 0},
		{time.Hour, time.Hour}, // set forward, or a sleep
		{time.Hour + time.Millisecond, time.Hour}, //
		{0, time.Hour},                       // set back
		{30 * time.Minute, 90 * time.Minute}, // a sleep
		{-time.Hour, 90 * time.Minute},       // set back again
		{-time.Hour + time.Minute, 91 * time.Minute},
	} {
		if sum := l.count(c.step); sum != c.sum {
			t.Errorf("%d: %v, want %v", i, sum, c.sum)
		}
	}
}
