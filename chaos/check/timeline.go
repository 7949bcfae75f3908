package check

import (
	"github.com/dlock-go/dlock/backend"
)

// A Span is an attempt to hold a lock, for a picture.
type Span struct {
	Name    int
	Slot    int
	Prober  bool
	Shared  bool
	Try     bool
	Call    int64
	Granted int64 // 0 if it was not
	Until   int64 // the end of the hold, or of the wait if there was none
	Lost    int64 // when it was told that it is lost, or 0
	Killed  bool  // its process was killed while it held or waited
	Token   uint64
}

// Timeline returns the attempts of a run by name, and each name's by call.
func (r *Run) Timeline() [][]Span {
	h := newHistory(r)
	spans := make([][]Span, r.Names)
	for name := range spans {
		for _, o := range h.waits[name] {
			s := Span{
				Name: name, Slot: o.process.Slot, Prober: o.process.Prober, Shared: o.mode == backend.Shared, Try: o.try,
				Call: o.call, Granted: o.granted, Token: o.token,
			}
			if o.granted == 0 {
				s.Until = min(o.waited(), r.Drain)
				s.Killed = o.failed == 0 && o.process.Killed != 0
			} else {
				s.Until = min(o.end, r.Drain)
				s.Killed = o.end == o.process.Killed && o.process.Killed != 0
				if at := min(o.signal, o.lost); at != never {
					s.Lost = at
				}
			}
			spans[name] = append(spans[name], s)
		}
	}
	return spans
}
