package report

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/workload"
)

// results are of Redis, with rounds in which the machine was slower.
func results(ours, theirs []float64) run.Results {
	figures := func(values []float64) (rounds []workload.Figures) {
		for _, v := range values {
			rounds = append(rounds, workload.Figures{"pairs": v, "p50": 1 / v, "p99": 3 / v, "connections": 2, "tokens": 1})
		}
		return rounds
	}
	return run.Results{
		{Workload: "own", Size: 256, Contestant: "dlock-redis", Rounds: figures(ours)},
		{Workload: "own", Size: 256, Contestant: "rueidislock", Rounds: figures(theirs)},
		{Workload: "own", Size: 256, Contestant: "redislock", Failure: "no answer"},
	}
}

func TestTargets(t *testing.T) {
	for _, test := range []struct {
		ours, theirs []float64
		want         []string
	}{
		{[]float64{200, 20, 210}, []float64{100, 10, 105}, []string{"≥ 1.6", "2 (2 – 2)", "met"}},
		{[]float64{150, 15, 145}, []float64{100, 10, 100}, []string{"≥ 1.6", "1.5 (1.45 – 1.5)", "**not met**"}},
		{[]float64{150, 200, 250}, []float64{100, 100, 100}, []string{"≥ 1.6", "2 (1.5 – 2.5)", "met"}},
		{nil, []float64{100}, []string{"≥ 1.6", "–", "not measured"}},
	} {
		got := targets[0].checks[0].judge(results(test.ours, test.theirs))
		if strings.Join(got, "|") != strings.Join(test.want, "|") {
			t.Errorf("%v against %v: %v, not %v", test.ours, test.theirs, got, test.want)
		}
	}
}

// What stands in the way is told of a target that is not met, and of no other.
func TestLimits(t *testing.T) {
	for _, test := range []struct {
		gap  float64
		told bool
	}{{99e-6, false}, {101e-6, true}} {
		got := Limits(run.Results{
			{Workload: "handoff", Size: 4, Contestant: "dlock-file", Rounds: []workload.Figures{{"gap50": test.gap}}},
			{Workload: "handoff", Size: 4, Contestant: "inotify", Rounds: []workload.Figures{{"gap50": 60e-6}}},
		})
		if told := strings.Contains(got, "Target 4, gap p50, file: the system takes 60 µs of the 101 µs"); told != test.told || !told && got != "" {
			t.Errorf("a gap of %v: %q", test.gap, got)
		}
	}
}

func TestLimitsAreOfTargets(t *testing.T) {
	for what := range limits {
		n := 0
		for _, t := range targets {
			for _, c := range t.checks {
				if c.what == what {
					n++
				}
			}
		}
		if n != 1 {
			t.Errorf("%d targets are called %q", n, what)
		}
	}
}

func TestBetter(t *testing.T) {
	for _, test := range []struct {
		ours, theirs []float64
		better       bool
	}{
		{[]float64{100, 10, 100}, []float64{120, 12, 120}, true},
		{[]float64{100, 10, 100}, []float64{105, 10.5, 105}, false}, // Within the noise.
		{[]float64{120, 12, 120}, []float64{100, 10, 100}, false},
	} {
		if got := Better(workload.All, results(test.ours, test.theirs)); strings.Contains(got, "- rueidislock (redis)\n  - ") != test.better {
			t.Errorf("%v against %v: %s", test.ours, test.theirs, got)
		}
	}
}

// A variant of dlock that is better than a peer does not hide that the default is
// not.
func TestBetterMeetsTheDefault(t *testing.T) {
	figures := func(p99 float64) []workload.Figures { return []workload.Figures{{"p99": p99}} }
	got := Better(workload.All, run.Results{
		{Workload: "own", Size: 1, Contestant: "dlock-postgres", Rounds: figures(819e-6)},
		{Workload: "own", Size: 1, Contestant: "dlock-postgres-untokened", Rounds: figures(337e-6)},
		{Workload: "own", Size: 1, Contestant: "advisory", Rounds: figures(371e-6)},
	})
	if !strings.Contains(got, "1 goroutine: p99 371 µs against 819 µs\n") {
		t.Error(got)
	}
}

// Each ratio of a table has its least and its greatest round.
func TestTableHasTheRangeOfRatios(t *testing.T) {
	w, err := workload.Find("own")
	if err != nil {
		t.Fatal(err)
	}
	got := Table(w, results([]float64{100, 50, 200}, []float64{50, 50, 400}))
	if !strings.Contains(got, " 1 (0.5 – 2) |") {
		t.Error(got)
	}
}

func TestGrowthIsFromASizeToTheGreatest(t *testing.T) {
	of := func(size int, v float64) *run.Result {
		return &run.Result{Workload: "holding", Size: size, Contestant: "dlock-redis", Rounds: []workload.Figures{{"bytes": v}}}
	}
	grown := growth("holding", 1000, "bytes", "dlock-redis")
	if got := grown(run.Results{of(1000, 10), of(100_000, 15), of(10_000, 30)}); len(got) != 1 || got[0] != 1.5 {
		t.Errorf("%v, not 1.5", got)
	}
	if got := grown(run.Results{of(1000, 10)}); len(got) != 0 {
		t.Errorf("one size has grown: %v", got)
	}
}

func TestReportIsWhole(t *testing.T) {
	dir := t.TempDir()
	r := &Report{Machine: &Machine{}, Started: time.Now(), Results: results([]float64{200}, []float64{100})}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"## Targets", "## Where a peer is better", "### 256 goroutines", " 200 |", "no answer", "throughput.svg", "## How it was measured"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the report has no %q", part)
		}
	}
	for _, p := range Plots {
		f, err := os.Open(filepath.Join(dir, p.File))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d := xml.NewDecoder(f)
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", p.File, err)
			}
		}
	}
}

// A contestant that got nothing done has no point, and does not keep the plot from
// being drawn.
func TestAPlotLeavesOutWhatIsNothing(t *testing.T) {
	for _, p := range Plots {
		none := run.Results{{Workload: "own", Size: 64, Contestant: "redsync", Rounds: []workload.Figures{{"pairs": 0, "p50": 0}}}}
		if got := p.Draw(append(none, results([]float64{200}, []float64{100})...)); strings.Contains(got, "redsync") {
			t.Errorf("%s has redsync", p.File)
		}
	}
}
