// Package report writes what runs have shown for people to read.
package report

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/run"
)

// Markdown writes the report of all runs.
func Markdown(w io.Writer, results []*run.Result) {
	p := &printer{w}
	p.head(results)
	p.runs(results)
	p.invariants(results)
	p.faults(results)
	p.violations(results)
	p.replays(results)
}

type printer struct{ w io.Writer }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p *printer) head(results []*run.Result) {
	var grants, faults, worked, losses, kills, violations, void int
	var wall, active time.Duration
	var minority, forgot int // faults that took data from one node of a quorum
	for _, r := range results {
		v := r.Verdict
		grants += v.Grants
		losses += v.Losses
		kills += v.Kills
		violations += v.Violations()
		wall += r.Config.Duration
		active += v.Active
		if len(v.Void) > 0 {
			void++
		}
		for _, f := range r.Run.Faults {
			faults++
			if f.Effect != "" {
				worked++
			}
			if r.Config.Store.Name == "quorum" && (f.Kind == "flushall" || f.Kind == "kill server, data lost") {
				minority++
				if f.Did != "" {
					forgot++
				}
			}
		}
	}
	p.line("# What chaos has shown")
	p.line("")
	p.line("Runs: %d, %v of work in all, and faults were on in %v of that: **%d grants, %d faults (of which %d had an effect that is not seen without one), %d worker processes killed, %d holds lost, %d violations**.",
		len(results), wall.Round(time.Second), active.Round(time.Second), grants, faults, worked, kills, losses, violations)
	if void > 0 {
		p.line("%d of the runs are void: they made no progress, their faults did nothing, or nothing was judged of what they were about.", void)
	}
	if slices.Contains(backends(results), "quorum") {
		p.line("")
		if minority == 0 {
			p.line("No node of a quorum lost its data: that it bears this was not shown.")
		} else {
			p.line("A node of a quorum lost its data %d times, and %d times locks that were held with it.", minority, forgot)
		}
	}
	p.line("")
	p.line("%s. Written by `make chaos`; [timeline.html](timeline.html) shows one of the runs.", machine())
	p.line("")
	p.line("Worker processes with several goroutines each want the same few names through the public API; 30 s after the last fault at the latest a fresh process must have every name. Every process writes down what it calls, and what came of it, with the monotonic clock of the machine. A run counts if it made 100 grants a second before the first fault, if its faults did something, and if each invariant that it was about was judged. An effect is put down to the fault of the worker or the lock that it was seen on, or else of the store; that somebody was killed who held something is one if others got it.")
	p.line("")
}

// machine tells where the runs were made.
func machine() string {
	parts := []string{time.Now().UTC().Format("2006-01-02"), fmt.Sprintf("%d cores", runtime.NumCPU()), runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	for _, c := range []struct{ program, name string }{{"redis-server", "Redis"}, {"postgres", "PostgreSQL"}} {
		out, err := exec.Command(c.program, "--version").Output()
		if f := strings.Fields(string(out)); err == nil && len(f) > 2 {
			parts = append(parts, c.name+" "+strings.TrimPrefix(f[2], "v="))
		}
	}
	if b, err := os.ReadFile("/etc/debian_version"); err == nil {
		parts = append(parts, "Debian "+strings.TrimSpace(string(b)))
	}
	return strings.Join(parts, ", ")
}

func (p *printer) runs(results []*run.Result) {
	p.line("## Runs")
	p.line("")
	p.line("| backend | primitive | processes × goroutines on names | for | grants | per s before faults | faults with effect | holds lost | sessions lost | hand-over p50 / p99 / max | violations |")
	p.line("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range results {
		v := r.Verdict
		worked := 0
		for _, f := range r.Run.Faults {
			if f.Effect != "" {
				worked++
			}
		}
		faults := fmt.Sprintf("%d of %d", worked, len(r.Run.Faults))
		if r.Config.Faults != "" {
			faults += fmt.Sprintf(" (%s)", r.Config.Faults)
		}
		verdict := fmt.Sprint(v.Violations())
		if len(v.Void) > 0 {
			verdict += ", void: " + strings.Join(v.Void, "; ")
		}
		p.line("| %s | %s | %v | %v | %d | %.0f | %s | %d | %d | %v / %v / %v | %s |", r.Config.Store.Name, run.Primitive(r.Config.Class),
			r.Config.Shape, r.Config.Duration, v.Grants, v.Rate, faults, v.Losses, v.Deaths, short(v.Waits.P50), short(v.Waits.P99), short(v.Waits.Max), verdict)
	}
	p.line("")
	p.line("A hand-over is the time from a confirmed release to the return of the next grant to somebody who waited, where no fault was in the way.")
	p.line("")
	p.line("| backend | increments | lost by the plain register | refused by the fenced register | lost by the fenced register |")
	p.line("|---|---|---|---|---|")
	for _, name := range backends(results) {
		var all, lost, refused int64
		var fenced int
		for _, r := range results {
			if r.Config.Store.Name == name {
				all += r.Verdict.PlainAll
				lost += r.Verdict.Plain
				refused += r.Verdict.Refused
				fenced += r.Verdict.Invariants[2].Violations
			}
		}
		rate := 0.0
		if all > 0 {
			rate = float64(lost) / float64(all) * 1e6
		}
		p.line("| %s | %d | %d (%.0f in a million) | %d | %d |", name, all, lost, rate, refused, fenced)
	}
	p.line("")
	p.line("Both registers are outside the faults' reach. Workers increment them under the lock, and half of those that learn of a loss write all the same. The plain register believes them; the fenced one knows the greatest token that has read or written.")
	p.line("")
}

func short(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func backends(results []*run.Result) []string {
	var names []string
	for _, r := range results {
		if !slices.Contains(names, r.Config.Store.Name) {
			names = append(names, r.Config.Store.Name)
		}
	}
	return names
}

func (p *printer) invariants(results []*run.Result) {
	names := backends(results)
	p.line("## Invariants")
	p.line("")
	p.line("How often each could have been broken and was not; in brackets how often it would have been, had not a fault of that worker, that lock or the store been in the way, or had not the machine stood still; then the worst of what is bounded in time, and the most of what is counted.")
	p.line("")
	p.line("| | invariant | %s |", strings.Join(names, " | "))
	p.line("|---|---|%s", strings.Repeat("---|", len(names)))
	for n := 1; n < len(check.Invariants); n++ {
		row := fmt.Sprintf("| %d | %s |", n, check.Invariants[n])
		for _, name := range names {
			var sum check.Invariant
			for _, r := range results {
				if r.Config.Store.Name != name {
					continue
				}
				i := r.Verdict.Invariants[n]
				sum.Checked += i.Checked
				sum.Excused += i.Excused
				sum.Violations += i.Violations
				sum.Worst = max(sum.Worst, i.Worst)
				sum.Most = max(sum.Most, i.Most)
				if i.Note != "" {
					sum.Note = i.Note
				}
			}
			cell := fmt.Sprint(sum.Checked)
			switch {
			case sum.Checked == 0 && sum.Note != "":
				cell = sum.Note
			case sum.Checked == 0 && sum.Violations == 0:
				cell = "**not judged**"
			}
			if sum.Excused > 0 {
				cell += fmt.Sprintf(" (%d)", sum.Excused)
			}
			if sum.Worst > 0 {
				cell += fmt.Sprintf(", %v", short(sum.Worst))
			}
			if sum.Most > 0 {
				cell += fmt.Sprintf(", %d", sum.Most)
			}
			if sum.Violations > 0 {
				cell += fmt.Sprintf(", **%d violations**", sum.Violations)
			}
			row += " " + cell + " |"
		}
		p.line("%s", row)
	}
	p.line("")
	p.excuses(results)
	p.line("Bounds, named before the runs. To each is added what cannot be seen of the machine's delays, 10 ms, and what was seen of them: that a process did not run, that a thread waited for a processor, that a journal was slow to write, for those who had to do with the lock and for the servers.")
	p.line("")
	p.line("| backend | TTL | wake-up (7) | loss signal (8) | lock of a killed holder (9) | writers in a row (6, 16) | passed by (17) |")
	p.line("|---|---|---|---|---|---|---|")
	seen := make(map[string]bool)
	for _, r := range results {
		if name := r.Config.Store.Name; !seen[name] {
			seen[name] = true
			pr := r.Run.Promise
			p.line("| %s | %v | %v | %v | %v | %d to %d | %d |", name, r.Run.TTL, pr.Woken, pr.Signal, pr.Killed, pr.Turns.Least, pr.Turns.Most, pr.Passed)
		}
	}
	p.line("")
}

// excuses tells how often each excuse was used.
func (p *printer) excuses(results []*run.Result) {
	names := backends(results)
	used := make(map[string]map[string]int) // by what, then by backend
	for _, r := range results {
		for n := range r.Verdict.Invariants {
			for by, times := range r.Verdict.Invariants[n].Excuses {
				what := fmt.Sprintf("%s | %d", by, n)
				if used[what] == nil {
					used[what] = make(map[string]int)
				}
				used[what][r.Config.Store.Name] += times
			}
		}
	}
	if len(used) == 0 {
		return
	}
	p.line("What is in brackets, by what excused it. \"stood still\" is a worker that had to do with it, or the machine; \"no place yet\" is somebody who was told to wait so early that the store may not have known of it.")
	p.line("")
	p.line("| excuse | invariant | %s |", strings.Join(names, " | "))
	p.line("|---|---|%s", strings.Repeat("---|", len(names)))
	for _, what := range slices.Sorted(maps.Keys(used)) {
		row := "| " + what + " |"
		for _, name := range names {
			if n := used[what][name]; n > 0 {
				row += fmt.Sprintf(" %d |", n)
			} else {
				row += " |"
			}
		}
		p.line("%s", row)
	}
	p.line("")
}

func (p *printer) faults(results []*run.Result) {
	type cell struct {
		n, worked int
		overlap   time.Duration
	}
	kinds := make(map[string]map[string]*cell)
	for _, r := range results {
		for _, f := range r.Run.Faults {
			if kinds[f.Kind] == nil {
				kinds[f.Kind] = make(map[string]*cell)
			}
			c := kinds[f.Kind][r.Config.Store.Name]
			if c == nil {
				c = new(cell)
				kinds[f.Kind][r.Config.Store.Name] = c
			}
			c.n++
			c.overlap = f.Overlap
			if f.Effect != "" {
				c.worked++
			}
		}
	}
	names := backends(results)
	p.line("## Faults")
	p.line("")
	p.line("How many were injected, and of how many an effect was seen; where two may hold at once because of it, for how long at most.")
	p.line("")
	p.line("| fault | %s |", strings.Join(names, " | "))
	p.line("|---|%s", strings.Repeat("---|", len(names)))
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		row := "| " + k + " |"
		for _, name := range names {
			if c := kinds[k][name]; c != nil {
				row += fmt.Sprintf(" %d, %d", c.n, c.worked)
				if c.overlap > 0 {
					row += fmt.Sprintf("; ≤ %v", c.overlap)
				}
			}
			row += " |"
		}
		p.line("%s", row)
	}
	p.line("")
}

func (p *printer) violations(results []*run.Result) {
	first := true
	for _, r := range results {
		for n := range r.Verdict.Invariants {
			for _, e := range r.Verdict.Invariants[n].Examples {
				if first {
					p.line("## Violations")
					p.line("")
					first = false
				}
				p.line("- %s %s, invariant %d: %s", r.Config.Store.Name, run.Primitive(r.Config.Class), n, e)
			}
		}
	}
	if !first {
		p.line("")
	}
}

func (p *printer) replays(results []*run.Result) {
	p.line("## To repeat a run")
	p.line("")
	p.line("The seed decides which faults come, when, to whom and for how long, and what the workers do; how the processes are scheduled it does not.")
	p.line("")
	p.line("```sh")
	for _, r := range results {
		p.line("%s", r.Replay())
	}
	p.line("```")
}
