package workload

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/bench/testbed"
)

// section is one from granted to left, in milliseconds.
func section(process int, reads bool, granted, left int) Section {
	at := func(ms int) testbed.Instant { return testbed.Instant(0).Add(time.Duration(ms) * time.Millisecond) }
	return Section{Process: process, Reads: reads, Asked: at(granted - 1), Granted: at(granted), Left: at(left)}
}

func TestGatherFindsOverlaps(t *testing.T) {
	for _, test := range []struct {
		name     string
		sections []Section
		capacity int
		writers  bool
		overlap  bool
	}{
		{"one after the other", []Section{section(0, false, 2, 3), section(1, false, 3, 4), section(0, false, 5, 6)}, 1, true, false},
		{"two at once", []Section{section(0, false, 2, 4), section(1, false, 3, 5)}, 1, true, true},
		{"one within another", []Section{section(0, false, 2, 9), section(1, false, 3, 4)}, 1, true, true},
		{"readers together", []Section{section(0, true, 2, 4), section(1, true, 3, 5)}, 64, true, false},
		{"a writer beside a reader", []Section{section(0, true, 2, 4), section(1, false, 3, 5)}, 64, true, true},
		{"two of two tickets", []Section{section(0, false, 2, 4), section(1, false, 3, 5)}, 2, false, false},
		{"three of two tickets", []Section{section(0, false, 2, 5), section(1, false, 3, 5), section(1, false, 4, 6)}, 2, false, true},
	} {
		samples := []*Sample{{}, {}}
		for _, s := range test.sections {
			samples[s.Process].Sections = append(samples[s.Process].Sections, s)
		}
		all, err := gather(samples, test.capacity, test.writers)
		if (err != nil) != test.overlap {
			t.Errorf("%s: %v", test.name, err)
		}
		for i := 1; i < len(all); i++ {
			if all[i].Granted < all[i-1].Granted {
				t.Errorf("%s: out of order", test.name)
			}
		}
	}
}

func TestHandOffFigures(t *testing.T) {
	// The first of these is in time; the last is not, and shows only as a wait.
	samples := []*Sample{
		{Sections: []Section{section(0, false, 10, 11), section(0, false, 20, 21)}},
		{Sections: []Section{section(1, false, 13, 14), section(1, false, 15, 16), section(1, false, 900, 901)}},
	}
	f, err := handOff.Join(samples, Job{Length: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]float64{"gap50": 0.002, "gapmax": 0.004, "rate": 40, "share": 1, "max": 0.001} {
		if got := f[key]; got < want*0.999 || got > want*1.001 {
			t.Errorf("%s is %v, not %v", key, got, want)
		}
	}
}
