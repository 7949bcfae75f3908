package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/dlock-go/dlock/chaos/fault"
)

// blink is what the heartbeats of the harness cannot see: a process that did not run
// for so long may not have been noticed. It is added to every bound.
const blink = 10 * time.Millisecond

// stillness as an excuse, beside the kinds of faults.
const stood = "stood still"

// A crew is a set of workers, by slot.
type crew uint64

func of(p *Process) crew { return 1 << p.Slot }

// everybody is for what no particular worker has to do with.
const everybody crew = 1<<64 - 1

// concerns reports whether a fault can bear on what these workers do with a lock: one
// of the store can, one of a lock on that lock alone, and one of a worker where it is
// one of them.
func concerns(f *fault.Event, name int, who crew) bool {
	return (f.Lock < 0 || f.Lock == name) && (f.Slot < 0 || who&(1<<f.Slot) != 0)
}

// presence is when somebody of each slot stood at the store for a name, or may have:
// it was asked for them and had not yet said that they are gone.
func (h *history) presence() {
	h.present = make([][64][]span, h.Names+1)
	for _, s := range h.stays {
		if s.name >= 0 && s.name <= h.Names {
			at := &h.present[s.name][s.process.Slot]
			*at = append(*at, span{s.asked, s.gone})
		}
	}
	for name := range h.present {
		for slot := range h.present[name] {
			h.present[name][slot] = merge(h.present[name][slot])
		}
	}
	h.stood = make([][]span, 64)
	for _, p := range h.Processes {
		if !p.Prober {
			h.stood[p.Slot] = append(h.stood[p.Slot], p.stalls...)
		}
	}
	for slot := range h.stood {
		h.stood[slot] = merge(h.stood[slot])
	}
	var machine []span
	for _, s := range h.Stalls {
		machine = append(machine, span{s.From, s.To})
	}
	h.machine = merge(machine)
}

// merge returns spans in order that do not touch each other.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// within returns those of merged spans that touch the time between from and to.
func within(spans []span, from, to int64) []span {
	i, _ := slices.BinarySearchFunc(spans, from, func(s span, t int64) int { return cmp.Compare(s.to, t) })
	j := i
	for j < len(spans) && spans[j].from <= to {
		j++
	}
	return spans[i:j]
}

// inLine returns the workers that stood at the store for a name between two times.
func (h *history) inLine(name int, from, to int64) crew {
	var who crew
	if h.present == nil {
		return 0
	}
	for slot, spans := range h.present[name] {
		if len(within(spans, from, to)) > 0 {
			who |= 1 << slot
		}
	}
	return who
}

// stillness is for how long, between two times, one of these workers or the machine
// stood still. The servers did if the machine did.
func (h *history) stillness(who crew, from, to int64) int64 {
	all := slices.Clone(within(h.machine, from, to))
	for slot, spans := range h.stood {
		if who&(1<<slot) != 0 {
			all = append(all, within(spans, from, to)...)
		}
	}
	var sum int64
	for _, s := range merge(all) {
		sum += max(0, min(s.to, to)-max(s.from, from))
	}
	return sum
}

// late returns how much longer than bound the time between from and to was, or less
// than 0, and what had to excuse it for that: a fault that concerns these workers, from
// whose end on it is judged, or that one of them stood still.
func (h *history) late(name int, who crew, from, to, bound int64, but func(*fault.Event) bool) (over int64, excuse string) {
	bound += int64(blink)
	if to-from <= bound {
		return to - from - bound, ""
	}
	for again := true; again; {
		again = false
		for _, f := range h.Faults {
			if f.Over() > from && f.Begin < to && concerns(f, name, who) && (but == nil || !but(f)) &&
				f.Begin-from <= bound+h.stillness(who, from, f.Begin) {
				from, excuse, again = f.Over(), f.Kind, true
			}
		}
	}
	if over = to - from - bound; over > 0 {
		if still := h.stillness(who, from, to); still > 0 {
			over -= still
			excuse = stood
		}
	}
	return over, excuse
}

// touched returns a fault that may bear on what these workers do with a lock between
// two times, or nil.
func (h *history) touched(name int, who crew, from, to int64) *fault.Event {
	for _, f := range h.Faults {
		if f.Touches(from, to) && concerns(f, name, who) {
			return f
		}
	}
	return nil
}
