package run

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/check"
)

// Print writes what a run has shown, for people at a terminal.
func (r *Result) Print(w io.Writer) {
	v := r.Verdict
	fmt.Fprintf(w, "%s\n", r.Replay())
	fmt.Fprintf(w, "  %s\n", r.Words())
	fmt.Fprintf(w, "  %d grants (%.0f/s before the first fault), %d timeouts, %d losses, %d kills, %d sessions opened, %d died, in %v, faults on in %v\n",
		v.Grants, v.Rate, v.Timeouts, v.Losses, v.Kills, v.Sessions, v.Deaths, r.Wall.Round(time.Second), v.Active.Round(time.Millisecond))
	fmt.Fprintf(w, "  waits after a release: p50 %v, p99 %v, max %v of %d; plain registers lost %d of %d; fenced ones refused %d\n",
		v.Waits.P50, v.Waits.P99, v.Waits.Max, v.Waits.N, v.Plain, v.PlainAll, v.Refused)
	for _, f := range r.Run.Faults {
		effect := f.Effect
		if effect == "" {
			effect = "nothing"
		}
		fmt.Fprintf(w, "  %7.2f s %-18s slot %2d name %2d for %-8v %s (%s)\n", float64(f.Begin-r.Run.Begin)/1e9, f.Kind, f.Slot, f.Lock,
			time.Duration(f.End-f.Begin).Round(time.Millisecond), effect, f.Note)
	}
	for n := 1; n < len(v.Invariants); n++ {
		i := &v.Invariants[n]
		fmt.Fprintf(w, "  %2d %-40s checked %7d  excused %5d  violations %d  worst %v %s%s\n",
			n, check.Invariants[n], i.Checked, i.Excused, i.Violations, i.Worst.Round(time.Microsecond), i.Counted(), i.Note)
		for _, e := range i.Examples {
			fmt.Fprintf(w, "       %s\n", e)
		}
	}
	for _, why := range v.Void {
		fmt.Fprintf(w, "  VOID: %s\n", why)
	}
}

// Words say what is run, and what was done to it.
func (r *Result) Words() string {
	n := make(map[string]int)
	for _, f := range r.Run.Faults {
		n[f.Kind]++
	}
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		kinds = append(kinds, fmt.Sprintf("%d × %s", n[k], k))
	}
	s := r.Config.Shape
	return fmt.Sprintf("%d processes × %d goroutines on %d names for %v, with %s",
		s.Processes, s.Goroutines, s.Names, r.Config.Duration, cmp.Or(strings.Join(kinds, ", "), "no faults"))
}
