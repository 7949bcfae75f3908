package workload

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/testbed"
)

func TestFreedIsCountedFromTheEnding(t *testing.T) {
	at := func(ms int) testbed.Instant { return testbed.Instant(0).Add(time.Duration(ms) * time.Millisecond) }
	endings := []Ending{Killed, Cut, Silent}
	when := []testbed.Instant{at(10), at(20), at(30)}
	f, err := Freed(&Sample{Sections: []Section{{Process: 2, Granted: at(25)}, {Process: 1, Granted: at(6010)}}}, endings, when)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f["silent"]; ok || f["killed"] != 6 || f["cut"] != 0.005 {
		t.Errorf("%v", f)
	}
	if _, err := Freed(&Sample{Sections: []Section{{Process: 3, Granted: at(29)}}}, endings, when); err == nil {
		t.Error("a lock that was granted while it was held is no error")
	}
}

func TestEndingsThatCanBefall(t *testing.T) {
	for _, test := range []struct {
		ending Ending
		store  contestant.Store
		can    bool
	}{
		{Killed, contestant.Memory, false},
		{Killed, contestant.File, true},
		{Cut, contestant.File, false},
		{Cut, contestant.Redis, true},
		{Silent, contestant.Postgres, true},
	} {
		if test.ending.Befalls(test.store) != test.can {
			t.Errorf("%s on %s: not %v", test.ending, test.store, test.can)
		}
	}
}
