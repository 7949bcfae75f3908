package backendtest

import (
	"fmt"
	"sync"

	"github.com/dlock-go/dlock/backend"
)

// A history follows the holds of one lock as their holders see them: a hold
// begins when its holder has learned of it and ends before its holder gives it
// back, so holds that overlap here overlapped at the store.
type history struct {
	op      backend.Op // of a mutex, a writer or a ticket
	readers bool       // the lock has readers, too
	fenced  bool

	mu      sync.Mutex
	alone   int // writers and holders of a mutex or ticket inside
	shared  int // readers inside
	grants  int
	highest uint64          // ordinal
	seen    map[uint64]bool // ordinals
}

// floor returns an ordinal that the grant of a request made from now on exceeds.
func (h *history) floor() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.highest
}

// enter begins a hold, and returns what is wrong with it, or nil.
func (h *history) enter(mode backend.Mode, g backend.Grant, floor uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.grants++
	if mode == backend.Shared {
		h.shared++
	} else {
		h.alone++
	}
	switch limit := max(1, int(h.op.Limit)); {
	case h.alone > limit:
		return fmt.Errorf("%v %q has %d holders, and a limit of %d", h.op.Class, h.op.Name, h.alone, limit)
	case h.alone > 0 && h.shared > 0:
		return fmt.Errorf("%v %q has %d writers and %d readers", h.op.Class, h.op.Name, h.alone, h.shared)
	}
	if !h.fenced {
		return nil
	}
	// Of two that may hold together the later may enter here first. Who holds
	// alone has entered after all before it had left.
	if mode == backend.Exclusive && h.op.Limit <= 1 {
		floor = h.highest
	}
	if g.Ordinal <= floor {
		return fmt.Errorf("%v %q was granted with ordinal %d after %d", h.op.Class, h.op.Name, g.Ordinal, floor)
	}
	if h.seen[g.Ordinal] {
		return fmt.Errorf("%v %q was granted twice with ordinal %d", h.op.Class, h.op.Name, g.Ordinal)
	}
	h.seen[g.Ordinal] = true
	h.highest = max(h.highest, g.Ordinal)
	return nil
}

// leave ends a hold.
func (h *history) leave(mode backend.Mode) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mode == backend.Shared {
		h.shared--
	} else {
		h.alone--
	}
}
