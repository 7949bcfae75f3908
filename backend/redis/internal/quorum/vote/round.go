package vote

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// This file is what an acquisition does about the votes that it has, round by round.

const (
	// gather is for how long an acquisition that was told of a release by one node waits
	// to be told by the others before it asks them.
	gather = 5 * time.Millisecond
	// reserved is for how long a node reserves a lock that became free for one who waits;
	// RESERVED of vote.lua.
	reserved = 100 * time.Millisecond
	// longestPause is the longest random pause after a vote that nobody has won, for one
	// who waits and for one who does not: the batch waits for that one's answer.
	longestPause, longestPauseOfTry = 150 * time.Millisecond, 4 * time.Millisecond
	// maxSplits is how often one who does not wait tries again after such a vote, and after
	// how many one who waits is in no hurry: a node that does not answer may have the vote
	// with which somebody holds.
	maxSplits = 8
	// maxRaised is how many tokens, and maxShifts how many more slots, an acquisition tries
	// in one round. Nodes tell of all slots that are taken, so who finds none that soon had
	// better pause: others were quicker each time.
	maxRaised, maxShifts = 16, 4
)

// attempt begins a new round with all nodes.
func (m *Machine) attempt(a *acquisition, now time.Time) {
	if a.op.Class == backend.Semaphore {
		if slot, ok := m.pick(a); ok {
			m.goFor(a, slot)
		}
	}
	m.begin(a)
	a.polled, a.stuck, a.refusal = now, false, nil
	if _, given := a.epochs(); given == 0 {
		a.token = m.tokens.next(now)
	}
	m.ask(a, now)
}

// begin begins a new round.
func (m *Machine) begin(a *acquisition) {
	a.state, a.stays = asking, false
	a.round++
	a.raised, a.shifts = 0, 0
}

// NoSlot stands for no slot in particular.
const NoSlot = -1

// Turn takes the word of a node that it may be the turn of an owner who waits, for a slot
// or NoSlot.
func (m *Machine) Turn(node int, owner uint64, slot int64, now time.Time) {
	if a := m.acquisitions[owner]; a != nil {
		m.turn(a, m.nodes[node], slot, now)
		m.effects.Moved = true
	}
}

func (m *Machine) turn(a *acquisition, n *node, slot int64, now time.Time) {
	switch a.state {
	case waiting:
		m.begin(a)
		if _, given := a.epochs(); given == 0 {
			a.token = m.tokens.next(now)
			if slot >= 0 && slot < int64(a.op.Limit) && m.slots[a.lock][uint32(slot)] == nil {
				m.goFor(a, uint32(slot))
			}
		}
		a.gather = now.Add(gather)
		m.alarms.set(a, a.gather)
	case asking:
		switch v := &a.votes[n.index]; v.state {
		case voteBusy, voteReserved:
			v.state = voteNone
		case voteAsked:
			v.told = true // The answer may be from before.
		case voteUnfit:
			if v.round == a.round {
				return // Another token is asked for when the others have answered.
			}
		}
	default:
		return
	}
	m.askOne(a, n, now)
}

// ask asks all nodes that have not given a what it asks for, or are about to.
func (m *Machine) ask(a *acquisition, now time.Time) {
	a.gather = time.Time{}
	m.alarms.set(a, now.Add(m.lag())) // An answer that does not come decides, too.
	for _, n := range m.nodes {
		m.askOne(a, n, now)
	}
}

func (m *Machine) askOne(a *acquisition, n *node, now time.Time) {
	v := &a.votes[n.index]
	fresh := v.round != a.round || v.state != voteAsked || v.token != a.token || v.slot != a.slot
	if m.wins(a, v, now) || !fresh {
		return
	}
	if n.unfit != nil {
		if v.request != nil {
			n.withdraw(v.request)
			v.request = nil
		}
		v.state, v.round, v.token, v.slot, v.err = voteFailed, a.round, a.token, a.slot, n.unfit
		return
	}
	v.state, v.round, v.token, v.slot, v.told = voteAsked, a.round, a.token, a.slot, false
	if v.request == nil { // One that was not sent yet asks for what a wants by then.
		v.request = &Request{Kind: AskVote, of: a, Flag: a.op.Wait}
		n.add(v.request)
	}
}

// weigh decides about an acquisition that asks, after an answer or when it is due.
func (m *Machine) weigh(a *acquisition, now time.Time) {
	if a.state != asking {
		return
	}
	t := m.count(a, now)
	a.stuck, a.refusal = false, nil
	v := t.verdict()
	if v == unfit && a.raised >= maxRaised {
		v = t.verdictOnOthers()
	}
	switch v {
	case won:
		m.win(a, now)
	case otherLimit:
		m.end(a, backend.Result{State: backend.Failed, Err: backend.ErrLimit})
	case denied:
		m.end(a, backend.Result{State: backend.Failed, Err: t.err})
	case failing:
		m.shelve(a, t.err)
	case unasked:
		// The release that one node told of may be on its way to the others.
		if !now.Before(a.gather) {
			m.ask(a, now)
		}
	case unfit:
		m.raise(a, now)
	case unheard:
		// A node that is down may be so for long.
		a.stuck = !m.late()
	case beaten:
		m.lose(a, t, now)
	}
}

// raise asks all nodes for votes for a higher token.
func (m *Machine) raise(a *acquisition, now time.Time) {
	var offers []offer
	for i := range a.votes {
		switch v := &a.votes[i]; {
		case v.answers(a, voteUnfit):
			offers = append(offers, v.offer)
		case v.answers(a, voteGiven), v.answers(a, voteAsked):
			offers = append(offers, offer{})
		}
	}
	a.raised++
	margin := uint64(0)
	if a.raised > 2 {
		margin = 64 << a.raised
	}
	a.token = m.tokens.above(offers, m.majority, margin, now)
	m.ask(a, now)
}

// win makes a a holder, unless the epochs of its votes are about to end.
func (m *Machine) win(a *acquisition, now time.Time) {
	e, _ := a.epochs()
	l := m.lease(e, now)
	if l.until.Sub(now) < leastLeft(m.TTL) {
		m.alarms.set(a, now.Add(m.TTL/6)) // The next heartbeat renews them.
		return
	}
	a.state, a.due, a.fresh = holding, time.Time{}, true
	a.move(l)
	for i := range a.votes {
		if v := &a.votes[i]; v.stands(a) && v.others {
			a.contended = true
		}
	}
	if a.enlisted && !m.awaited(a) {
		m.tell(backend.Event{Kind: backend.EventGranted, Owner: a.op.Owner, Grant: m.grant(a, now)})
	}
}

// grant returns the terms on which a holds.
func (m *Machine) grant(a *acquisition, now time.Time) backend.Grant {
	if a.fresh {
		a.fresh = false
		m.strengthen(a, now)
	}
	a.lease.known = true
	return backend.Grant{Lease: a.lease.public(), Ordinal: a.token, Contended: a.contended}
}

// ungrant has a ask on that was about to hold, and of which nobody has been told.
func (m *Machine) ungrant(a *acquisition) {
	a.move(nil)
	a.state = asking
}

// Contended takes the word of a node that another session waits for what an owner has.
func (m *Machine) Contended(owner uint64) {
	if a := m.acquisitions[owner]; a != nil {
		m.contend(a)
	}
}

func (m *Machine) contend(a *acquisition) {
	if a.contended {
		return
	}
	a.contended = true
	if a.state == holding && !a.fresh {
		m.tell(backend.Event{Kind: backend.EventContended, Owner: a.op.Owner})
	}
}

// end ends an acquisition that does not and will not hold.
func (m *Machine) end(a *acquisition, r backend.Result) {
	a.state, a.result, a.due = refused, r, time.Time{}
	a.link.Remove()
	m.releaseVotes(a)
	m.recall(a)
}

// shelve has a wait to be asked for again: too many nodes do not vote for it, for reasons
// of their own.
func (m *Machine) shelve(a *acquisition, why error) {
	m.recall(a)
	a.state, a.due = waiting, time.Time{}
	a.stuck, a.refusal, a.enlisted = true, why, false
	m.releaseVotes(a)
}

// recall has a caller that was told to wait ask again: it hears the reason then.
func (m *Machine) recall(a *acquisition) {
	if a.enlisted && !m.awaited(a) {
		m.tell(backend.Event{Kind: backend.EventTurn, Owner: a.op.Owner})
	}
}

// lose deals with a round that a has not won: it lets a wait, try again later, or end.
func (m *Machine) lose(a *acquisition, t tally, now time.Time) {
	if t.busy > 0 && a.op.Class == backend.Semaphore && a.shifts < maxShifts {
		if slot, ok := m.pick(a); ok && slot != a.slot {
			a.shifts++
			m.goFor(a, slot)
			a.token = m.tokens.next(now)
			m.ask(a, now)
			return
		}
	}
	unknown := t.silent + t.withheld + t.limit + t.failed
	taken := t.busy > 0 && m.taken(a, unknown)
	withheld := t.busy == 0 && t.unfit == 0 && t.withheld > 0
	switch {
	case !a.op.Wait && taken:
		m.end(a, backend.Result{State: backend.Busy})
	case !a.op.Wait && withheld:
		m.end(a, backend.Result{State: backend.Failed, Err: t.errWithheld()})
	case !a.op.Wait && a.splits >= maxSplits:
		m.end(a, backend.Result{State: backend.Busy})
	case withheld:
		m.yield(a, false)
		m.alarms.set(a, now.Add(t.wait+time.Millisecond))
	case taken:
		a.splits = 0
		m.yield(a, false)
		switch {
		case a.hears(voteReserved):
			m.alarms.set(a, now.Add(reserved+m.random(reserved/2)))
		case m.deaf():
			m.pollSoon(a, now)
		}
	default:
		m.split(a, now)
	}
}

// split deals with a vote that nobody has won. Whoever has the first node that answers
// stays for a moment, so that one of the rivals gets through; the others give way at
// once, and all pause for random times before they try again.
func (m *Machine) split(a *acquisition, now time.Time) {
	a.splits++
	for _, n := range m.nodes {
		if n.silent(now) {
			continue
		}
		if a.votes[n.index].stands(a) && a.splits%4 != 0 && a.splits <= maxSplits {
			a.state, a.stays = waiting, true
			m.alarms.set(a, now.Add(time.Millisecond+m.random(3*time.Millisecond)))
			return
		}
		break
	}
	m.yield(a, true)
	most := min(4*time.Millisecond<<min(a.splits, 6), longestPause)
	if !a.op.Wait {
		most = longestPauseOfTry
	}
	m.alarms.set(a, now.Add(time.Millisecond+m.random(most)))
}

// hears reports whether a node has given that answer in this round.
func (a *acquisition) hears(s voteState) bool {
	for i := range a.votes {
		if a.votes[i].answers(a, s) {
			return true
		}
	}
	return false
}

// yield has a give back its votes and wait. others are to be woken if nobody has won.
func (m *Machine) yield(a *acquisition, others bool) {
	a.state, a.due = waiting, time.Time{}
	m.leaveSlot(a)
	if !a.op.Wait {
		m.releaseVotes(a) // It is not to be found among those who wait.
		return
	}
	for i, n := range m.nodes {
		if v := &a.votes[i]; v.state == voteGiven || v.state == voteUnfit || v.state == voteFailed && v.lingers(n) {
			n.add(&Request{Kind: AskYield, of: a, Flag: others})
			v.state, v.epoch = voteNone, nil
		}
	}
	m.enlist(a)
}

// enlist finds out whether a majority knows that a waits.
func (m *Machine) enlist(a *acquisition) {
	if a.refusal != nil {
		return // It was shelved, and nodes have been told to forget it.
	}
	listed := 0
	for i, n := range m.nodes {
		switch v := &a.votes[i]; v.state {
		case voteBusy, voteReserved, voteWithheld:
			listed++
		case voteNone:
			if v.touched == n.epoch && n.epoch != nil {
				listed++ // by an earlier round, or by giving way
			}
		}
	}
	a.enlisted = a.enlisted || listed >= m.majority
	a.stuck = !a.enlisted && !m.late()
}
