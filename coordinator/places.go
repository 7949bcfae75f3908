package coordinator

// places are the entries of a lock that wait at the store for one mode, in the order
// in which they were asked for. Any one can leave at once: a semaphore may have
// thousands, of which all are withdrawn together.
type places struct {
	first, last *entry
	len         int
}

func (p *places) push(e *entry) {
	e.prev, e.next = p.last, nil
	if p.last == nil {
		p.first = e
	} else {
		p.last.next = e
	}
	p.last = e
	p.len++
}

func (p *places) remove(e *entry) {
	if e.prev == nil {
		p.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		p.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	p.len--
}

// queued reports whether the store is known to let the first of them wait.
func (p *places) queued() bool { return p.first != nil && p.first.state == queued }
