package dlock

// A Loss tells of a hold that ended although nobody released it.
type Loss struct {
	Class   string // "mutex", "rwmutex" or "semaphore"
	Name    string // of the lock, without the namespace
	Backend string
	Token   uint64 // the fencing token of the hold, or 0
	Err     error  // why; matches ErrLost
}

// tellLoss calls the loss handler.
func (c *Client) tellLoss(loss Loss) { c.options.onLoss(loss) }
