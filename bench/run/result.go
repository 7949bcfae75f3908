package run

import (
	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/workload"
)

// A Result is what one contestant did in one workload of one size.
type Result struct {
	Workload   string
	Size       int
	Contestant string
	Rounds     []workload.Figures
	Failure    string // why there are no rounds, or no more
}

// Of returns the contestant whose result it is.
func (r *Result) Of() *contestant.Contestant {
	c, err := contestant.Find(r.Contestant)
	if err != nil {
		panic(err) // Run and report are of one program.
	}
	return c
}

// Values returns a figure of each round that has it.
func (r *Result) Values(key string) []float64 {
	var values []float64
	for _, f := range r.Rounds {
		if v, ok := f[key]; ok {
			values = append(values, v)
		}
	}
	return values
}

// Results is what was measured.
type Results []*Result

// Find returns the result of a contestant, or nil when there is none.
func (all Results) Find(w string, size int, id string) *Result {
	for _, r := range all {
		if r.Workload == w && r.Size == size && r.Contestant == id {
			return r
		}
	}
	return nil
}

// Values returns a figure of each round of a contestant. There are none when it was
// not measured.
func (all Results) Values(w string, size int, key, id string) []float64 {
	if r := all.Find(w, size, id); r != nil {
		return r.Values(key)
	}
	return nil
}

// Ratios returns those of one contestant's figure to another's, round by round.
// There are none when one of them was not measured.
func (all Results) Ratios(w string, size int, key, id, to string) []float64 {
	return stats.Ratios(all.Values(w, size, key, id), all.Values(w, size, key, to))
}
