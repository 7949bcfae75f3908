package session

import (
	"testing"
	"time"
)

// The clock that counts sleep is read again when the wall clock has made a step,
// and only then.
func TestSleptIsLookedUpAfterAStep(t *testing.T) {
	defer found.Store(nil)
	now := time.Now()
	found.Store(&finding{step(now), time.Minute})
	if d := slept(now); d != time.Minute {
		t.Errorf("without a step the machine has slept %v", d)
	}
	before := &finding{step(now) - time.Second, time.Minute}
	found.Store(before)
	if d := slept(now); d < time.Minute || d > time.Minute+time.Second {
		t.Errorf("after a step the machine has slept %v, a minute before it", d)
	}
	if f := found.Load(); f == before || f.step != step(now) {
		t.Error("not looked up after a step")
	}
}
