package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/journal"
)

// enough is how many grants a second make progress, also on a machine with several runs
// at a time.
const enough = 25

// count counts what happened, and says why the run is void if it is.
func (h *history) count(v *Verdict) {
	before := 0
	for _, holds := range h.names {
		for _, o := range holds {
			if !o.process.Prober {
				v.Grants++
			}
			if o.granted < h.Calm {
				before++
			}
			if o.lost != never {
				v.Losses++
			}
		}
	}
	for _, o := range h.holds {
		if o.why == "timeout" {
			v.Timeouts++
		}
	}
	v.Rate = float64(before) / time.Duration(h.Calm-h.Begin).Seconds()
	if v.Rate < enough {
		v.Void = append(v.Void, fmt.Sprintf("%.0f grants a second before the first fault are no progress", v.Rate))
	}
	v.Kills = len(h.kills)
	for _, p := range h.Processes {
		for i := range p.Records {
			switch p.Records[i].Kind {
			case journal.Opened:
				v.Sessions++
			case journal.Dead:
				v.Deaths++
			}
		}
	}
}

// effects finds out what came of each fault.
func (h *history) effects(v *Verdict) {
	worked := 0
	for _, f := range h.Faults {
		if f.Effect = h.effect(f); f.Effect != "" {
			worked++
		}
	}
	if len(h.Faults) == 0 {
		v.Void = append(v.Void, "there were no faults")
	} else if worked == 0 {
		v.Void = append(v.Void, fmt.Sprintf("none of %d faults did anything", len(h.Faults)))
	}
}

func (h *history) effect(f *fault.Event) string {
	const aftermath = int64(time.Second)
	until := f.End + int64(h.TTL) + aftermath
	seen := make(map[string]int)
	for _, p := range h.Processes {
		if f.Slot >= 0 && p.Slot != f.Slot {
			continue
		}
		if f.Kind == "kill worker" && p.Killed >= f.Begin && p.Killed <= f.End {
			held, waited := h.had(p)
			seen["killed with locks held"] += held
			seen["killed while waiting"] += waited
		}
		first, _ := slices.BinarySearchFunc(p.Records, f.Begin, func(r journal.Record, t int64) int {
			return int(min(max(r.At-t, -1), 1))
		})
		for i := first; i < len(p.Records) && p.Records[i].At <= until; i++ {
			switch r := &p.Records[i]; r.Kind {
			case journal.Lost:
				seen["holds lost"]++
			case journal.Dead:
				seen["sessions lost"]++
			case journal.Fail:
				if strings.HasPrefix(r.Text, "dlock") {
					seen["acquisitions failed"]++
				}
			case journal.Slow:
				if r.V[3] > 0 {
					seen["answers lost"]++
				} else {
					seen["answers late"]++
				}
			case journal.Unopened:
				seen["attempts to connect failed"]++
			case journal.Stall:
				if f.Target == fault.Worker && r.At-r.V[0] > int64(h.TTL)/3 {
					seen["processes stood still"]++
				}
			}
		}
	}
	var parts []string
	for what, n := range seen {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// had returns how many locks a process held and waited for when it was killed.
func (h *history) had(p *Process) (held, waited int) {
	for _, o := range h.holds {
		switch {
		case o.process != p:
		case o.granted != 0 && o.released == never && o.lost == never:
			held++
		case o.granted == 0 && o.failed == 0:
			waited++
		}
	}
	return held, waited
}
