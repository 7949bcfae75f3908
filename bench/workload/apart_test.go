package workload

import "testing"

func TestApartFigures(t *testing.T) {
	f, err := apart.Join([]*Sample{
		{Figures: Figures{"pairs": 100, "p50": 0.002, "p99": 0.003, "connections": 1}},
		{Figures: Figures{"pairs": 400, "p50": 0.001, "p99": 0.009, "connections": 2}},
	}, Job{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]float64{"pairs": 500, "p50": 0.002, "p99": 0.009, "connections": 3, "share": 0.25} {
		if f[key] != want {
			t.Errorf("%s is %v, not %v", key, f[key], want)
		}
	}
	if _, err := apart.Join([]*Sample{{Figures: Figures{"pairs": 0}}}, Job{}); err == nil {
		t.Error("nobody had the lock, and nothing is said")
	}
}
