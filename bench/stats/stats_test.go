package stats

import (
	"math"
	"testing"
)

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, test := range []struct {
		sorted []int
		p      float64
		want   int
	}{
		{nil, 50, 0},
		{[]int{7}, 0, 7},
		{[]int{7}, 50, 7},
		{[]int{7}, 100, 7},
		{[]int{1, 2}, 50, 1},
		{[]int{1, 2}, 51, 2},
		{[]int{1, 2, 3}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.5, 100},
		{hundred, 0, 1},
		{hundred, 100, 100},
	} {
		if got := Percentile(test.sorted, test.p); got != test.want {
			t.Errorf("percentile %v of %v is %v, not %v", test.p, test.sorted, got, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 3, 2, 1000}, 3.5},
	} {
		before := append([]float64(nil), test.values...)
		if got := Median(test.values); got != test.want {
			t.Errorf("the median of %v is %v, not %v", before, got, test.want)
		}
		for i := range before {
			if test.values[i] != before[i] {
				t.Errorf("Median turned %v into %v", before, test.values)
			}
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{5}, 0},
		{[]float64{90, 100, 105}, 0.1},
		{[]float64{100, 100, 150}, 0.5},
	} {
		if got := Spread(test.values); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("the spread of %v is %v, not %v", test.values, got, test.want)
		}
	}
}

// A machine that is three times slower in one round than in another shows in the
// medians and not in the ratio.
func TestRatioCancelsDrift(t *testing.T) {
	ours, theirs := []float64{200, 66, 100}, []float64{100, 33, 50}
	if got := Ratio(ours, theirs); got != 2 {
		t.Errorf("the ratio is %v, not 2", got)
	}
}

func TestRatioOfRoundsThatBothHave(t *testing.T) {
	if got := Ratio([]float64{3, 6, 100}, []float64{1, 2}); got != 3 {
		t.Errorf("the ratio is %v, not 3", got)
	}
	if got := Ratio(nil, []float64{1}); !math.IsNaN(got) {
		t.Errorf("the ratio of nothing is %v", got)
	}
}
