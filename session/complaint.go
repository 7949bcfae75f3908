package session

import "time"

const (
	complaintFirst = time.Second
	complaintMost  = time.Minute
)

// A Complaint tells when a trouble that lasts is worth another line in the log: at
// once, and then at intervals that grow from a second to a minute. The zero value
// has not complained yet. It is not safe for concurrent use.
type Complaint struct {
	next  time.Time
	pause time.Duration
}

// Due reports whether to say it now, and if so counts it as said.
func (c *Complaint) Due(now time.Time) bool {
	if now.Before(c.next) {
		return false
	}
	c.pause = min(max(2*c.pause, complaintFirst), complaintMost)
	c.next = now.Add(c.pause)
	return true
}

// Over forgets the trouble: the next one is said at once.
func (c *Complaint) Over() { *c = Complaint{} }
