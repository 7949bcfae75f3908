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

// Value returns the median of a figure. ok is false when it was not measured.
func (all Results) Value(w string, size int, key, id string) (v float64, ok bool) {
	r := all.Find(w, size, id)
	if r == nil {
		return 0, false
	}
	values := r.Values(key)
	return stats.Median(values), len(values) > 0
}

// Ratio returns that of one contestant's figure to another's. ok is false when one
// of them was not measured.
func (all Results) Ratio(w string, size int, key, id, to string) (v float64, ok bool) {
	a, b := all.Find(w, size, id), all.Find(w, size, to)
	if a == nil || b == nil {
		return 0, false
	}
	values, others := a.Values(key), b.Values(key)
	return stats.Ratio(values, others), len(values) > 0 && len(others) > 0
}
