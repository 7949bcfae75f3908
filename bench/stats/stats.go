// Package stats condenses measurements: medians and percentiles of one
// contestant, ratios of two.
package stats

import (
	"cmp"
	"math"
	"slices"
)

// Percentile returns the smallest of the sorted values that is not exceeded by p
// percent of them: a value that was measured, never one in between. It returns
// the zero value when there are none.
func Percentile[T cmp.Ordered](sorted []T, p float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Median returns the middle of the values, the mean of the two middle ones when
// they are even in number, or NaN when there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread returns how far the values are from their median at most, as a fraction
// of it.
func Spread(values []float64) float64 {
	median := Median(values)
	var farthest float64
	for _, v := range values {
		farthest = max(farthest, math.Abs(v-median))
	}
	return farthest / math.Abs(median)
}

// Ratios returns the ratios of a to b round by round: what slowed the machine down
// for a while slowed both in the same round, and does not show. Only rounds that
// both have count.
func Ratios(a, b []float64) []float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

// Ratio returns the median of the ratios.
func Ratio(a, b []float64) float64 { return Median(Ratios(a, b)) }
