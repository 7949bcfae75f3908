package report

import (
	"math"
	"testing"

	"github.com/dlock-go/dlock/bench/workload"
)

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		value float64
		unit  workload.Unit
		want  string
	}{
		{0, workload.Number, "0"},
		{3, workload.Number, "3"},
		{0.123456, workload.Number, "0.123"},
		{57123, workload.Number, "57 100"},
		{999.9, workload.Number, "1 000"},
		{32611111, workload.Number, "32 600 000"},
		{1234567, workload.Number, "1 230 000"},
		{0.0000971, workload.Seconds, "97.1 µs"},
		{0.0000000245, workload.Seconds, "24.5 ns"},
		{0.00125, workload.Seconds, "1.25 ms"},
		{2, workload.Seconds, "2 s"},
		{612, workload.Bytes, "612 B"},
		{1536, workload.Bytes, "1.5 KiB"},
		{-2048, workload.Bytes, "-2 KiB"},
		{0.9, workload.Share, "0.90"},
		{math.NaN(), workload.Number, ""},
	} {
		if got := format(test.value, test.unit); got != test.want {
			t.Errorf("%v is %q, not %q", test.value, got, test.want)
		}
	}
}

func TestRanged(t *testing.T) {
	for _, test := range []struct {
		values []float64
		unit   workload.Unit
		want   string
	}{
		{nil, workload.Number, ""},
		{[]float64{2}, workload.Number, "2"},
		{[]float64{2, 0.5, 1.25}, workload.Number, "1.25 (0.5 – 2)"},
		{[]float64{0.0004, 0.0012}, workload.Seconds, "800 µs (400 µs – 1.2 ms)"},
	} {
		if got := ranged(test.values, test.unit); got != test.want {
			t.Errorf("%v is %q, not %q", test.values, got, test.want)
		}
	}
}
