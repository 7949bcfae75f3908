package check

import (
	"time"

	"github.com/dlock-go/dlock/chaos/fault"
)

// slack is how late a process that runs may be to notice what is due.
const slack = 150 * time.Millisecond

// losses is 8. Where a hold has a deadline, the signal comes before it. Where
// what was held is known to be gone, it comes in time, or the hold has ended
// before. And nothing is lost without a fault.
func (h *history) losses(i *Invariant) {
	for name, holds := range h.names {
		for _, o := range holds {
			if o.process.Prober {
				continue
			}
			if o.overdue {
				i.violate("name %d: %s said that it holds after its deadline", name, h.tell(o))
			}
			over := min(o.release, o.lost, o.process.killedBy(), h.Drain)
			if o.deadline != never && o.lost != never {
				i.Checked++
				if late := over - o.deadline; late > int64(slack) && !o.process.stalled(o.deadline, over) {
					i.took(late)
					i.violate("name %d: %s heard of its loss %v after its deadline", name, h.tell(o), time.Duration(late))
				}
			}
			if o.lost != never && o.lost < h.Drain {
				i.Checked++
				if !h.lossHasReason(o) {
					i.violate("name %d: %s was lost though nothing had happened", name, h.tell(o))
				}
			}
			for _, f := range h.Faults {
				if h.takes(f, o) {
					h.signal(i, name, o, f, over)
				}
			}
		}
	}
}

// takes reports whether a fault took what was held away from its holder.
func (h *history) takes(f *fault.Event, o *Hold) bool {
	return f.Takes && (f.Lock < 0 || f.Lock == o.name) && (f.Slot < 0 || f.Slot == o.process.Slot) &&
		o.granted != 0 && o.granted+int64(5*time.Millisecond) < f.Begin && f.End < min(o.release, o.lost, o.process.killedBy())
}

// signal judges how long a holder went on after a fault had taken its lock.
func (h *history) signal(i *Invariant, name int, o *Hold, f *fault.Event, over int64) {
	if o.process.stalled(f.Begin, over) {
		i.Excused++
		return
	}
	i.Checked++
	i.took(over - f.End)
	if d := time.Duration(over - f.End); d > h.Promise.Signal {
		i.violate("name %d: %q took the lock from %s at %s, and it held on for %v", name, f.Kind, h.tell(o), h.at(f.Begin), d)
	}
}

// lossHasReason reports whether a fault, or a process that stood still, explains a
// loss.
func (h *history) lossHasReason(o *Hold) bool {
	window := int64(2 * (h.TTL + h.Promise.Killed))
	if o.process.stalled(o.granted-int64(h.TTL), o.lost) {
		return true
	}
	for _, f := range h.Faults {
		if f.Begin <= o.lost && o.granted-int64(h.TTL) <= f.Over()+window {
			return true
		}
	}
	return false
}
