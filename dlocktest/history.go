package dlocktest

import (
	"fmt"
	"sync"
)

// A history follows the holds of one lock as their holders see them: a hold
// begins when its holder has it and ends before its holder gives it back, so
// holds that overlap here overlapped.
type history struct {
	name  string
	limit int // of holders that are not readers

	mu      sync.Mutex
	alone   int // holders that are not readers
	readers int
	grants  int
	highest uint64          // token of one who is not a reader
	seen    map[uint64]bool // tokens
}

func newHistory(name string, limit int) *history {
	return &history{name: name, limit: limit, seen: make(map[uint64]bool)}
}

// enter begins a hold, and returns what is wrong with it, or nil. token is 0 when
// it is not known.
func (h *history) enter(read bool, token uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.grants++
	if read {
		h.readers++
	} else {
		h.alone++
	}
	switch {
	case h.alone > h.limit:
		return fmt.Errorf("%s has %d holders, and a limit of %d", h.name, h.alone, h.limit)
	case h.alone > 0 && h.readers > 0:
		return fmt.Errorf("%s has %d writers and %d readers", h.name, h.alone, h.readers)
	case token == 0:
		return nil
	case h.seen[token]:
		return fmt.Errorf("%s was granted twice with token %d", h.name, token)
	case h.limit == 1 && token <= h.highest:
		// Who holds alone has entered here after all before it had left, and
		// a reader after all writers before it.
		return fmt.Errorf("%s was granted with token %d after %d", h.name, token, h.highest)
	}
	h.seen[token] = true
	if !read {
		h.highest = max(h.highest, token)
	}
	return nil
}

// leave ends a hold.
func (h *history) leave(read bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if read {
		h.readers--
	} else {
		h.alone--
	}
}
