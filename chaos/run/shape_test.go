package run

import (
	"strings"
	"testing"
)

// TestShape: every goroutine of a shape has names to use, and every name somebody
// who may want it.
func TestShape(t *testing.T) {
	for _, s := range []Shape{{1, 1, 1}, {1, 1, 8}, {2, 8, 1}, {2, 2, 2}, Usual, {4, 8, 8}, {32, 1000, 64}} {
		if err := s.Check(); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		if churners, busy := s.Goroutines-s.sitters(), s.Names-s.long(); churners < 1 || busy < 1 || (s.sitters() > 0) != (s.long() > 0) {
			t.Errorf("%v: %d goroutines on %d busy names, %d on %d others", s, churners, busy, s.sitters(), s.long())
		}
	}
	if Usual.sitters() != 1 || Usual.long() != 2 {
		t.Errorf("the usual run has %d goroutines that hold %d names for long", Usual.sitters(), Usual.long())
	}
}

func TestBadShape(t *testing.T) {
	for word, s := range map[string]Shape{
		"processes": {0, 5, 6}, "goroutines": {4, -1, 6}, "names": {4, 5, 65},
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v: %v", s, err)
		}
	}
}

// TestReplay: what repeats a run says all that was chosen.
func TestReplay(t *testing.T) {
	r := &Result{Config: Config{Shape: Shape{4, 8, 8}, Faults: "terminate,server"}}
	for _, want := range []string{"PROCESSES=4", "GOROUTINES=8", "NAMES=8", `FAULTS="terminate,server"`} {
		if !strings.Contains(r.Replay(), want) {
			t.Errorf("%q is not in: %s", want, r.Replay())
		}
	}
}
