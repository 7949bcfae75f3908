package throttle

import (
	"testing"
	"time"
)

// A line about a lasting trouble comes at once, and then ever more seldom.
func TestThrottle(t *testing.T) {
	var c Throttle
	now := time.Now()
	said := 0
	for range 3600 * 10 {
		if c.Due(now) {
			said++
		}
		now = now.Add(100 * time.Millisecond)
	}
	if said < 60 || said > 66 {
		t.Errorf("%d lines in an hour", said)
	}
	if c.Over(); !c.Due(now) {
		t.Error("the next trouble is not announced")
	}
}
