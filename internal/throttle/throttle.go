// Package throttle keeps a trouble that lasts from filling the log.
package throttle

import "time"

const (
	first   = time.Second
	longest = time.Minute
)

// A Throttle tells when a trouble that lasts is worth another line in the log: at
// once, and then at intervals that grow from a second to a minute. The zero value
// has not seen any. It is not safe for concurrent use.
type Throttle struct {
	next  time.Time
	pause time.Duration
}

// Due reports whether to say it now, and if so counts it as said.
func (t *Throttle) Due(now time.Time) bool {
	if now.Before(t.next) {
		return false
	}
	t.pause = min(max(2*t.pause, first), longest)
	t.next = now.Add(t.pause)
	return true
}

// Over forgets the trouble: the next one is said at once.
func (t *Throttle) Over() { *t = Throttle{} }
