package file

import (
	"container/heap"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A retry is when a waiting claim is to be tried again: when it is rung, and now
// and then in any case. Those polls are for what no event tells: that a stranger
// unlocks a file and keeps it open, or that it could not be watched.
type retry struct {
	claim *claim
	at    time.Time
	delay time.Duration // from this time to the next
	limit time.Duration // of delay
	index int           // in the heap; -1 when not there
}

// How long waiting claims are left in peace. The delay doubles from the first to
// the last, so a wait is prolonged by no more than its own length.
const (
	firstPoll = time.Millisecond       // unheard, or after a hint that an unlock is near
	calmPoll  = 10 * time.Millisecond  // with notices
	turnPoll  = 100 * time.Millisecond // at last, where it is one's turn and no ring is heard
	deafPoll  = 250 * time.Millisecond // at last, where no ring is heard
	lastPoll  = time.Second            // at last

	// atOnce is how many waiting claims are tried in a row, while Apply has to wait.
	atOnce = 64
)

// schedule starts the polls of a claim that has begun to wait.
func (s *session) schedule(c *claim) {
	c.retry = retry{claim: c, index: -1}
	s.restart(c, s.pace(c))
	s.hurry()
}

// pace is the first delay of a claim of whose situation nothing new is known.
func (s *session) pace(c *claim) time.Duration {
	if s.hears(c) {
		return calmPoll
	}
	return firstPoll
}

// hears reports whether the claim is sure to hear when it is rung.
func (s *session) hears(c *claim) bool { return c.ticket.heard && s.watch.Exact() }

func (s *session) restart(c *claim, delay time.Duration) {
	c.retry.delay, c.retry.limit = delay, lastPoll
	if !s.hears(c) {
		c.retry.limit = deafPoll
	}
	c.retry.at = s.now.Add(delay)
	s.retries.set(&c.retry)
}

// expect adapts the polls of a claim to whether it is admitted. Where rings are
// not heard, the one whose turn it is looks more often.
func (s *session) expect(c *claim, admitted bool) {
	a := &c.retry
	if s.hears(c) || !admitted || a.limit == turnPoll {
		return
	}
	a.limit, a.delay, a.at = turnPoll, firstPoll, s.now.Add(firstPoll)
	s.retries.set(a)
	s.hurry()
}

// patrol tries claims that have waited for long from within a heartbeat, in place
// of their rare polls: the process is awake, and needs not wake Recv, nor its
// caller, unless there is news.
func (s *session) patrol() {
	var due []*claim
	for _, a := range s.retries {
		if a.delay == lastPoll && len(due) < atOnce {
			due = append(due, a.claim)
		}
	}
	for _, c := range due {
		// If the next heartbeat is late, the poll is not much later.
		c.retry.at = s.now.Add(lastPoll + lastPoll/2)
		s.retries.set(&c.retry)
		s.retry(c)
	}
	if len(due) > 0 {
		s.hurry()
	}
}

// due tries the claims whose retries are due, and sets the next.
func (s *session) due() {
	for range atOnce {
		if len(s.retries) == 0 || s.retries[0].at.After(s.now) {
			return
		}
		a := s.retries[0]
		a.at = s.now.Add(a.delay)
		a.delay = min(2*a.delay, a.limit)
		s.retries.set(a)
		s.retry(a.claim)
	}
}

// retry tries a claim that waits, and tells if it is granted. To try it here and not
// have its owner ask spares a hand-over two wake-ups.
func (s *session) retry(c *claim) {
	if c.held { // and is about to be told so
		return
	}
	switch state, err := s.advance(c, true); {
	case err != nil: // for the owner's own attempt to find out
		s.pending = append(s.pending, backend.Event{Kind: backend.EventTurn, Owner: c.owner})
	case state == backend.Granted:
		s.pending = append(s.pending, backend.Event{Kind: backend.EventGranted, Owner: c.owner, Grant: c.grant})
		s.granted = append(s.granted, c) // which is told before its ticket is put away
		if c.lock.key.class == backend.RWMutex {
			s.promote() // Who comes later has come after this one's pass.
		}
	}
}

// retries is a heap, the next first.
type retries []*retry

func (h *retries) set(a *retry) {
	if a.index < 0 {
		heap.Push(h, a)
	} else {
		heap.Fix(h, a.index)
	}
}

func (h *retries) cancel(a *retry) {
	if a.index >= 0 {
		heap.Remove(h, a.index)
	}
}

// next returns when the next one is due, or the zero Time.
func (h retries) next() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h[0].at
}

func (h retries) Len() int           { return len(h) }
func (h retries) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h retries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *retries) Push(x any) {
	a := x.(*retry)
	a.index = len(*h)
	*h = append(*h, a)
}

func (h *retries) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.index = -1
	return a
}
