package check

import "fmt"

// at is a time as people read it: seconds since the begin of the run.
func (h *history) at(t int64) string {
	if t == never {
		return "never"
	}
	return fmt.Sprintf("%.4f", float64(t-h.Begin)/1e9)
}

// tell describes a hold.
func (h *history) tell(o *Hold) string {
	what := "worker"
	if o.process.Prober {
		what = "prober"
	}
	s := fmt.Sprintf("%s %d/%d op %d (call %s", what, o.process.Slot, o.client, o.op, h.at(o.call))
	if o.granted != 0 {
		s += fmt.Sprintf(", grant %s, token %d", h.at(o.granted), o.token)
	}
	for _, e := range []struct {
		what string
		at   int64
	}{{"deadline", o.deadline}, {"signal", o.signal}, {"lost", o.lost}, {"release", o.release}, {"killed", killedAt(o.process)}} {
		if e.at != never && o.granted != 0 {
			s += fmt.Sprintf(", %s %s", e.what, h.at(e.at))
		}
	}
	return s + ")"
}

func killedAt(p *Process) int64 {
	if p.Killed == 0 {
		return never
	}
	return p.Killed
}
