package report

import (
	"fmt"
	"strings"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/workload"
)

// margin is how much better a peer has to be for it to be said. Less is noise.
const margin = 1.1

// Better lists where a peer is better than dlock on the same store, as it is by
// default.
func Better(workloads []*workload.Workload, all run.Results) string {
	var b strings.Builder
	for _, c := range contestant.All {
		if c.Role != contestant.Peer {
			continue
		}
		var lines []string
		for _, w := range workloads {
			for _, r := range all {
				if r.Workload != w.Name || r.Contestant != c.ID {
					continue
				}
				if better := advantages(w, all, r); better != nil {
					lines = append(lines, fmt.Sprintf("  - %s, %s: %s\n", w.Title, w.Sized(r.Size), strings.Join(better, ", ")))
				}
			}
		}
		if lines != nil {
			fmt.Fprintf(&b, "- %s (%s)\n%s", c.Title, c.Store, strings.Join(lines, ""))
		}
	}
	if b.Len() == 0 {
		return "Nowhere that was measured.\n"
	}
	return b.String()
}

// advantages lists the figures in which a peer is better.
func advantages(w *workload.Workload, all run.Results, peer *run.Result) (better []string) {
	for _, c := range w.Columns {
		theirs, ours := peer.Values(c.Key), ours(all, peer, c.Key)
		if c.Better != workload.Neither && len(theirs) > 0 && len(ours) > 0 && beats(c, theirs, ours) {
			better = append(better, fmt.Sprintf("%s %s against %s", c.Title,
				format(stats.Median(theirs), c.Unit), format(stats.Median(ours), c.Unit)))
		}
	}
	return better
}

// ours returns a figure of dlock, as it is by default, on a peer's store, or nil.
// No variant of dlock stands in for it, for a program has one at a time.
func ours(all run.Results, peer *run.Result, key string) []float64 {
	for _, r := range all {
		if r.Workload == peer.Workload && r.Size == peer.Size && r.Of().Store == peer.Of().Store && r.Of().Role == contestant.Ours {
			return r.Values(key)
		}
	}
	return nil
}

// beats reports whether theirs are better than ours, in their medians as well as
// round by round.
func beats(c workload.Column, theirs, ours []float64) bool {
	if c.Better == workload.Higher {
		theirs, ours = ours, theirs
	}
	return stats.Ratio(ours, theirs) > margin && stats.Median(ours)/stats.Median(theirs) > margin
}
