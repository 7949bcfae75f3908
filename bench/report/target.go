package report

import (
	"fmt"
	"strings"

	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/workload"
)

// A target is what dlock wants to reach in one kind of work.
type target struct {
	work   string
	checks []check
}

// A check is one figure that has to reach a bound.
type check struct {
	what    string
	figure  figure
	unit    workload.Unit
	atLeast bool // the bound is the least, and otherwise the most
	bound   float64
}

// A figure is a value of each round. It is empty when it was not measured.
type figure func(run.Results) []float64

// value is a figure by itself.
func value(w string, size int, key, id string) figure {
	return func(all run.Results) []float64 { return all.Values(w, size, key, id) }
}

// ratio is one contestant's figure over another's, round by round.
func ratio(w string, size int, key, id, to string) figure {
	return func(all run.Results) []float64 { return all.Ratios(w, size, key, id, to) }
}

// growth is a figure at the greatest size that was measured over that at a size.
func growth(w string, from int, key, id string) figure {
	return func(all run.Results) []float64 {
		last, to := most(all, w, key, id)
		if to <= from {
			return nil
		}
		return stats.Ratios(last, all.Values(w, from, key, id))
	}
}

// greatest is a figure at the greatest size that was measured.
func greatest(w, key, id string) figure {
	return func(all run.Results) []float64 {
		values, _ := most(all, w, key, id)
		return values
	}
}

// most returns a figure at the greatest size that was measured, and the size.
func most(all run.Results, w, key, id string) (values []float64, size int) {
	for _, r := range all {
		if r.Workload != w || r.Contestant != id || r.Size <= size {
			continue
		}
		if v := r.Values(key); len(v) > 0 {
			values, size = v, r.Size
		}
	}
	return values, size
}

const kib = 1024

// The targets. The bounds are ratios where there are peers: the machine decides
// on the rest.
var targets = []target{
	{"Redis, 256 goroutines on names of their own", []check{
		{"pairs/s ÷ rueidislock", ratio("own", 256, "pairs", "dlock-redis", "rueidislock"), workload.Number, true, 1.6},
		{"pairs/s ÷ redislock", ratio("own", 256, "pairs", "dlock-redis", "redislock"), workload.Number, true, 3},
		{"grants with a growing token", value("own", 256, "tokens", "dlock-redis"), workload.Share, true, 1},
		{"connections", value("own", 256, "connections", "dlock-redis"), workload.Number, false, 3},
	}},
	{"One goroutine, p50 of a pair", []check{
		{"Redis ÷ redislock", ratio("own", 1, "p50", "dlock-redis", "redislock"), workload.Number, false, 1.2},
		{"Postgres ÷ by hand", ratio("own", 1, "p50", "dlock-postgres", "advisory"), workload.Number, false, 1.2},
		{"Postgres without tokens ÷ by hand", ratio("own", 1, "p50", "dlock-postgres-untokened", "advisory"), workload.Number, false, 1.2},
	}},
	{"64 goroutines of one process on one name, pairs/s", []check{
		{"memory", value("hot", 64, "pairs", "dlock-memory"), workload.Number, true, 800_000},
		{"file", value("hot", 64, "pairs", "dlock-file"), workload.Number, true, 400_000},
		{"Redis", value("hot", 64, "pairs", "dlock-redis"), workload.Number, true, 400_000},
		{"Postgres", value("hot", 64, "pairs", "dlock-postgres"), workload.Number, true, 400_000},
	}},
	{"4 processes on one name, sections of 1 ms", []check{
		{"gap p50, Redis ÷ rueidislock", ratio("handoff", 4, "gap50", "dlock-redis", "rueidislock"), workload.Number, false, 1},
		{"gap p50, Postgres ÷ by hand", ratio("handoff", 4, "gap50", "dlock-postgres", "advisory"), workload.Number, false, 1.5},
		{"gap p50, file", value("handoff", 4, "gap50", "dlock-file"), workload.Seconds, false, 100e-6},
		{"least/most share, Redis", value("handoff", 4, "share", "dlock-redis"), workload.Share, true, 0.9},
		{"least/most share, Postgres", value("handoff", 4, "share", "dlock-postgres"), workload.Share, true, 0.9},
		{"least/most share, file", value("handoff", 4, "share", "dlock-file"), workload.Share, true, 0.9},
	}},
	// A heartbeat more or less in the window is a factor of less than two.
	{"Locks that are held over one connection", []check{
		{"Redis, commands/s of the most ÷ those of 1 000", growth("holding", 1000, "commands", "dlock-redis"), workload.Number, false, 2},
		{"Redis, bytes/s of the most ÷ those of 1 000", growth("holding", 1000, "bytes", "dlock-redis"), workload.Number, false, 2},
		{"Postgres, connections with 1 000 held", value("holding", 1000, "connections", "dlock-postgres"), workload.Number, false, 1},
	}},
	{"Goroutines that wait for one name, the most that were tried", []check{
		{"wait at the store, Redis", greatest("waiting", "queued", "dlock-redis"), workload.Number, false, 1},
		{"wait at the store, Postgres", greatest("waiting", "queued", "dlock-postgres"), workload.Number, false, 1},
		{"wait at the store, file", greatest("waiting", "queued", "dlock-file"), workload.Number, false, 1},
		{"memory each beside the stack, Redis", greatest("waiting", "memory", "dlock-redis"), workload.Bytes, false, kib},
	}},
	{"Postgres, 64 goroutines on names of their own", []check{
		{"without tokens, pairs/s ÷ by hand", ratio("own", 64, "pairs", "dlock-postgres-untokened", "advisory"), workload.Number, true, 2},
		{"without tokens, connections", value("own", 64, "connections", "dlock-postgres-untokened"), workload.Number, false, 1},
		{"with tokens, pairs/s ÷ by hand: what the disk's fsync allows", ratio("own", 64, "pairs", "dlock-postgres", "advisory"), workload.Number, true, 0},
	}},
	{"File, one goroutine, p50 of a pair", []check{
		{"÷ gofrs/flock", ratio("own", 1, "p50", "dlock-file", "gofrs"), workload.Number, false, 2},
	}},
	{"Memory, one goroutine", []check{
		{"Lock and Unlock, p50", value("own", 1, "p50", "dlock-memory"), workload.Seconds, false, 4e-6},
		{"Lock and Unlock, allocations", value("own", 1, "allocs", "dlock-memory"), workload.Number, false, 4},
		{"Acquire and Release, allocations", value("own", 1, "acquire", "dlock-memory"), workload.Number, false, 8},
	}},
}

// Targets is the table of the targets: what was measured of each, and whether it
// is met.
func Targets(all run.Results) string {
	rows := [][]string{{"", "target", "bound", "measured", ""}}
	for i, t := range targets {
		rows = append(rows, []string{fmt.Sprint(i + 1), "**" + t.work + "**"})
		for _, c := range t.checks {
			rows = append(rows, append([]string{"", c.what}, c.judge(all)...))
		}
	}
	return align(rows)
}

func (c check) judge(all run.Results) []string {
	sign, good := "≤ ", "met"
	if c.atLeast {
		sign = "≥ "
	}
	bound := strings.TrimSuffix(sign+format(c.bound, c.unit), "≥ 0")
	values := c.figure(all)
	switch {
	case len(values) == 0:
		return []string{bound, "–", "not measured"}
	case bound == "":
		good = ""
	case !c.met(values):
		good = "**not met**"
	}
	return []string{bound, ranged(values, c.unit), good}
}

// met judges the median.
func (c check) met(values []float64) bool {
	v := stats.Median(values)
	return v == c.bound || v > c.bound == c.atLeast
}
