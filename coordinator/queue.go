package coordinator

// A queue holds claims in order of arrival. A claim stands in one queue at most
// and can leave it from the middle at once, for of ten thousand waiters any one
// may be cancelled.
type queue struct {
	first, last *Claim
	len         int
}

func (q *queue) push(c *Claim) {
	c.queue, c.prev, c.next = q, q.last, nil
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
	q.len++
}

func (q *queue) remove(c *Claim) {
	if c.prev == nil {
		q.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		q.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.queue, c.prev, c.next = nil, nil, nil
	q.len--
}

func (q *queue) pop() *Claim {
	c := q.first
	q.remove(c)
	return c
}
