package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/workload"
)

// format writes a figure with three digits that count, for people.
func format(v float64, u workload.Unit) string {
	if math.IsNaN(v) {
		return ""
	}
	switch u {
	case workload.Seconds:
		return duration(v)
	case workload.Bytes:
		for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
			if math.Abs(v) < 1000 || unit == "GiB" {
				return digits(v) + " " + unit
			}
			v /= 1024
		}
	case workload.Share:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return digits(v)
}

func duration(seconds float64) string {
	d := time.Duration(seconds * 1e9)
	switch {
	case d == 0 && seconds > 0:
		return "< 1 ns"
	case d < time.Microsecond:
		return digits(seconds*1e9) + " ns"
	case d < time.Millisecond:
		return digits(seconds*1e6) + " µs"
	case d < time.Second:
		return digits(seconds*1e3) + " ms"
	}
	return digits(seconds) + " s"
}

// digits writes a number with three digits that count, thousands apart.
func digits(v float64) string {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	s := strconv.FormatFloat(v, 'f', -1, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + " " + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

// ranged writes the median of what several rounds brought, and the least and the
// greatest of them.
func ranged(values []float64, u workload.Unit) string {
	s := format(stats.Median(values), u)
	if len(values) > 1 {
		s += fmt.Sprintf(" (%s – %s)", format(slices.Min(values), u), format(slices.Max(values), u))
	}
	return s
}

func percent(v float64) string { return fmt.Sprintf("±%.0f %%", 100*v) }
