package check

import (
	"slices"
	"time"

	"github.com/dlock-go/dlock/chaos/fault"
)

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
				if late := over - o.deadline; late > int64(blink)+h.stillness(of(o.process), o.deadline, over) {
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
	took := max(0, over-f.End-h.stillness(of(o.process), f.End, over))
	i.Checked++
	i.took(took)
	if took > int64(h.Promise.Signal+blink) {
		i.violate("name %d: %q took the lock from %s at %s, and it held on for %v",
			name, f.Kind, h.tell(o), h.at(f.Begin), time.Duration(over-f.End))
	}
}

// lossHasReason reports whether a fault of the store, of the lock or of its own worker
// explains a loss, within a time to live of it, or that the worker or the machine stood
// still for so long that a lease was not renewed.
func (h *history) lossHasReason(o *Hold) bool {
	if h.stillness(of(o.process), o.lost-2*int64(h.TTL), o.lost) >= int64(h.TTL)/3 {
		return true
	}
	for _, f := range h.Faults {
		window := int64(h.TTL+blink) + h.stillness(of(o.process), f.End, o.lost)
		if concerns(f, o.name, of(o.process)) && f.Begin <= o.lost && o.lost <= f.End+window && (!f.Minor || h.more(f, o)) {
			return true
		}
	}
	return false
}

// more reports whether something happened to the store or to the worker beside a fault that
// the store alone has to bear, before that was over.
func (h *history) more(minor *fault.Event, o *Hold) bool {
	return slices.ContainsFunc(h.Faults, func(f *fault.Event) bool {
		return f != minor && f.Kind != "kill worker" && concerns(f, o.name, of(o.process)) && f.Touches(minor.Begin, minor.Over()+int64(h.TTL))
	})
}

// took reports whether faults are known to have taken something away that was held, so
// often that somebody must have held it for long enough to notice.
func (h *history) took() bool {
	n := 0
	for _, f := range h.Faults {
		if f.Takes && f.Did != "" {
			n++
		}
	}
	return n > 2
}
