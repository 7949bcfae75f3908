package check

import (
	"strings"

	"github.com/dlock-go/dlock/backend"
)

// tries is 13: a try gets a lock that nobody holds and nobody wants.
func (h *history) tries(i *Invariant) {
	for name, waits := range h.waits {
		if name == h.Names {
			continue
		}
		var others []span // when somebody was there, by call; not merged, to leave out one
		for _, o := range waits {
			to := h.through(o)
			if o.granted == 0 && o.failed != 0 {
				to = o.failed // Of what is left at the store see below.
			}
			others = append(others, span{o.call, to})
		}
		latest := make([]int64, len(others)+1) // the end of all of those before
		for k, s := range others {
			latest[k+1] = max(latest[k], s.to)
		}
		for k, o := range waits {
			if !o.try || o.process.Prober || o.call >= h.Drain || o.granted == 0 && o.failed == 0 {
				continue
			}
			if o.granted != 0 {
				i.Checked++
				continue
			}
			if o.why != "busy" || latest[k] > o.call || k+1 < len(others) && others[k+1].from < o.failed {
				continue
			}
			// What the store still has, or may have, of earlier ones is there too.
			if h.lingers(name, o) {
				continue
			}
			if f := h.touched(name, everybody, o.call, o.failed); f != nil {
				i.excuse(f.Kind)
				continue
			}
			i.Checked++
			i.violate("name %d: %s was told that the lock is busy, and nobody held it or wanted it", name, h.tell(o))
		}
	}
}

// lingers reports whether the store may know of somebody for a name while o tries,
// beside o itself.
func (h *history) lingers(name int, o *Hold) bool {
	kept := int64(h.Promise.Kept)
	for _, s := range h.byName[name] {
		if s.asked > o.failed {
			break
		}
		own := s.process == o.process && s.asked >= o.call
		if !own && (s.gone == never || s.gone+kept >= o.call) {
			return true
		}
	}
	return false
}

// failures is 14: no call fails but for a fault, or a time that is over.
func (h *history) failures(i *Invariant) {
	for _, o := range h.holds {
		if o.process.Prober || o.call >= h.Drain {
			continue
		}
		switch {
		case o.granted == 0 && o.failed == 0: // Its process was killed, or stands there still.
		case o.granted == 0:
			if o.why == "busy" || o.why == "timeout" || o.why == "cancelled" {
				i.Checked++
				break
			}
			h.failure(i, o, o.call, o.failed, "failed: "+o.why)
		case o.released != never && !o.confirmed && o.release < h.Drain:
			from := o.release
			if strings.HasPrefix(o.error, lostText) {
				from = min(o.granted, o.release-int64(h.TTL)) // That it was lost is judged elsewhere.
			}
			h.failure(i, o, from, o.released, "was not released: "+o.error)
		default:
			i.Checked++
		}
	}
}

const lostText = "dlock: lock lost"

func (h *history) failure(i *Invariant, o *Hold, from, to int64, what string) {
	if f := h.touched(o.name, of(o.process), from, to); f != nil {
		i.excuse(f.Kind)
		return
	}
	if h.stillness(of(o.process), to-2*int64(h.TTL), to) >= int64(h.TTL)/3 {
		i.excuse(stood)
		return
	}
	i.Checked++
	i.violate("name %d: %s %s", o.name, h.tell(o), what)
}

// inside is 15: of those of one client that wait for a lock exclusively, who came first
// is served first.
func (h *history) inside(i *Invariant) {
	for name, waits := range h.waits {
		lines := make(map[sessionKey][]*Hold) // by client
		for _, o := range waits {
			if o.mode == backend.Exclusive && !o.try && !o.process.Prober {
				k := sessionKey{process: o.process, n: o.client}
				lines[k] = append(lines[k], o)
			}
		}
		for _, line := range lines {
			h.line(i, name, line)
		}
	}
}

// line judges those of one client that wait for one lock, by call.
func (h *history) line(i *Invariant, name int, line []*Hold) {
	var waiting []*Hold
	for _, b := range line {
		if b.granted == 0 {
			waiting = append(waiting, b)
			continue
		}
		kept, excuse := waiting[:0], ""
		for _, a := range waiting {
			until := a.waited()
			if a.granted == 0 && a.wait > 0 {
				until = min(until, a.call+a.wait) // It may hear later that its time is over.
			}
			if until <= b.call {
				continue
			}
			kept = append(kept, a)
			// What is called in the same moment may arrive in any order, and be told in any.
			arrived, told := b.call-a.call-int64(blink), until-b.granted-int64(blink)
			if h.Class != backend.Semaphore && a.granted > b.granted {
				told = never // Had a been first, it would have been through before b was in.
			}
			if arrived <= 0 || told <= 0 {
				continue
			}
			if arrived <= h.stillness(of(a.process), a.call, b.call) ||
				told <= h.stillness(of(a.process), b.granted, until) {
				excuse = stood
				continue
			}
			if f := h.touched(name, of(a.process), a.call, b.granted); f != nil {
				excuse = f.Kind // Who was refused because of it comes anew.
				continue
			}
			i.violate("name %d: %s waited, and %s of the same process came later and was first", name, h.tell(a), h.tell(b))
		}
		waiting = append(kept, b)
		i.judge(0, excuse)
	}
}
