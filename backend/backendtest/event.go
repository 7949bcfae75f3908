package backendtest

import "github.com/dlock-go/dlock/backend"

// event takes note of news about one owner.
func (p *peer) event(e backend.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.claims[e.Owner]
	if c == nil || c.gone {
		return // late news, which the contract allows
	}
	switch e.Kind {
	case backend.EventGranted:
		p.granted(c, e.Grant)
	case backend.EventTurn:
		p.turns[e.Owner] = true
		p.applyAgain()
	case backend.EventContended:
		if !p.f.Caps.Contended {
			p.f.Errorf("%v: EventContended without Caps.Contended", c)
		}
		c.contended()
	case backend.EventLost:
		p.f.Errorf("%v was lost: %v", c, e.Err)
	default:
		p.f.Errorf("%v: event of unknown kind %d", c, e.Kind)
	}
}

// granted takes note of a grant, which may come twice, and checks it. p.mu is
// held.
func (p *peer) granted(c *claim, g backend.Grant) {
	switch {
	case c.gone:
		return
	case (g.Ordinal != 0) != p.f.Caps.Fencing:
		p.f.Errorf("%v: ordinal %d where Caps.Fencing is %v", c, g.Ordinal, p.f.Caps.Fencing)
	case g.Ordinal > backend.MaxOrdinal:
		p.f.Errorf("%v: ordinal %d is greater than %d", c, g.Ordinal, uint64(backend.MaxOrdinal))
	case g.Contended && !p.f.Caps.Contended:
		p.f.Errorf("%v: Contended without Caps.Contended", c)
	case c.held && g.Ordinal != c.grant.Ordinal:
		p.f.Errorf("%v: ordinal %d became %d", c, c.grant.Ordinal, g.Ordinal)
	}
	if g.Contended {
		c.contended()
	}
	c.grant = g // its lease may be another
	if c.held {
		return
	}
	c.held = true
	select {
	case c.turn <- c:
	default:
		panic("backendtest: a check made its channel of turns too small")
	}
}

func (c *claim) contended() {
	select {
	case c.told <- struct{}{}:
	default:
	}
}

// applyAgain wakes run.
func (p *peer) applyAgain() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// due returns the Acquires that events said to apply again. No batch is in
// flight when it is called, so an owner that is not queued by now is held, gone
// or was never applied.
func (p *peer) due() []backend.Op {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ops []backend.Op
	for owner := range p.turns {
		if c := p.claims[owner]; c != nil && c.queued && !c.held && !c.gone {
			ops = append(ops, c.op)
		}
	}
	clear(p.turns)
	return ops
}
