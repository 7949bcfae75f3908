package store

import (
	"testing"
	"time"
)

// A clock that was set back is behind until it shows new times, and one that is
// ahead is not.
func TestBehind(t *testing.T) {
	s, err := newSkew(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		t.Skip("no C compiler")
	}
	defer s.close()
	for _, step := range []struct{ off, behind time.Duration }{
		{0, 0},
		{-time.Hour, time.Hour},
		{-time.Minute, time.Minute},
		{0, 0},
		{time.Hour, 0},
		{time.Minute, 59 * time.Minute},
		{0, time.Hour},
	} {
		if err := s.set(step.off); err != nil {
			t.Fatal(err)
		}
		if d := s.behind(); d > step.behind || d < step.behind-10*time.Second {
			t.Errorf("set off by %v, it is %v behind and not %v", step.off, d, step.behind)
		}
	}
	if d := (*skew)(nil).behind(); d != 0 {
		t.Errorf("a clock that is not set is %v behind", d)
	}
}
