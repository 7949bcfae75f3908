package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/journal"
)

// enough is how many grants a second make progress.
const enough = 100

// count counts what happened, and says why the run is void if it is.
func (h *history) count(v *Verdict) {
	before := 0
	for _, holds := range h.names {
		for _, o := range holds {
			if !o.process.Prober {
				v.Grants++
			}
			if h.Begin <= o.granted && o.granted < h.Calm {
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
	// On a machine that is busy with something else there is less time.
	still := h.stillness(everybody, h.Begin, h.Calm)
	if float64(before) < enough*max(time.Duration(h.Calm-h.Begin-still), time.Duration(h.Calm-h.Begin)/10).Seconds() {
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

// effects finds out what came of each fault: what was seen of the workers and locks that
// it concerns, and would not have been seen without it. What several faults could have
// caused is that of the one that happened to the worker or the lock itself, and else of
// the last one.
func (h *history) effects(v *Verdict) {
	seen := make(map[*fault.Event]map[string]int)
	for _, f := range h.Faults {
		seen[f] = make(map[string]int)
	}
	note := func(at int64, who crew, name int, what string) {
		if f := h.cause(at, who, name); f != nil {
			seen[f][what]++
		}
	}
	for _, p := range h.Processes {
		if p.Prober {
			continue
		}
		ops := make(map[int64]int) // their names
		for i := range p.Records {
			h.symptom(p, &p.Records[i], ops, note)
		}
	}
	for p, n := range h.left {
		for _, f := range h.Faults {
			if f.Kind == "kill worker" && f.Slot == p.Slot && f.Begin <= p.Killed && p.Killed <= f.End {
				seen[f]["of its locks went to who waited"] += n
			}
		}
	}
	worked := 0
	for _, f := range h.Faults {
		var parts []string
		if f.Did != "" {
			parts = append(parts, f.Did)
		}
		for _, what := range slices.Sorted(maps.Keys(seen[f])) {
			parts = append(parts, fmt.Sprintf("%d %s", seen[f][what], what))
		}
		if f.Effect = strings.Join(parts, ", "); f.Effect != "" {
			worked++
		}
	}
	v.Active = h.active()
	if len(h.Faults) == 0 {
		v.Void = append(v.Void, "there were no faults")
	} else if worked == 0 {
		v.Void = append(v.Void, fmt.Sprintf("none of %d faults did anything", len(h.Faults)))
	}
}

// symptom says what a record shows that is not seen without a fault.
func (h *history) symptom(p *Process, r *journal.Record, ops map[int64]int, note func(at int64, who crew, name int, what string)) {
	const anything = -1
	switch r.Kind {
	case journal.Call:
		ops[r.V[1]] = int(r.V[2])
	case journal.Lost:
		note(r.At, of(p), ops[r.V[1]], "holds lost")
	case journal.Dead:
		note(r.At, of(p), anything, "sessions lost")
	case journal.Fail:
		if strings.HasPrefix(r.Text, "dlock") {
			note(r.At, of(p), ops[r.V[1]], "acquisitions failed")
		}
	case journal.Slow:
		switch {
		case r.V[3] > 0:
			note(r.At, of(p), anything, "answers lost")
		case r.V[2]-h.stillness(of(p), r.At-r.V[2], r.At) > int64(late):
			note(r.At, of(p), anything, "answers late")
		}
	case journal.Unopened:
		note(r.At, of(p), anything, "attempts to connect failed")
	case journal.Stall:
		for _, f := range h.Faults {
			if f.Kind == "stop worker" && f.Slot == p.Slot && r.V[0] <= f.End && r.At >= f.Begin && r.At-r.V[0] > int64(h.TTL)/3 {
				note(f.End, of(p), anything, "processes stood still")
			}
		}
	}
}

// late is how long an answer takes that is late, without the time that somebody stood
// still.
const late = 50 * time.Millisecond

// cause returns the fault that caused what was seen of a worker and a lock, which is below
// 0 for all of a worker.
func (h *history) cause(at int64, who crew, name int) *fault.Event {
	const aftermath = int64(time.Second)
	var best *fault.Event
	for _, f := range h.Faults {
		if f.Kind == "kill worker" || f.Begin > at || at > f.End+int64(h.TTL)+aftermath {
			continue
		}
		if name < 0 && f.Lock >= 0 || !concerns(f, name, who) {
			continue
		}
		own, others := f.Slot >= 0 || f.Lock >= 0, best != nil && (best.Slot >= 0 || best.Lock >= 0)
		if best == nil || own && !others || own == others && f.Begin > best.Begin {
			best = f
		}
	}
	return best
}

// active is for how long faults were on.
func (h *history) active() time.Duration {
	var all []span
	for _, f := range h.Faults {
		all = append(all, span{f.Begin, f.End})
	}
	var sum int64
	for _, s := range merge(all) {
		sum += s.to - s.from
	}
	return time.Duration(sum)
}
