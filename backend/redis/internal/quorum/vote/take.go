package vote

import "time"

const (
	// requestsPerBatch bounds for how long a batch keeps a server from others.
	requestsPerBatch = 512
	// bytesPerBatch does, too, where names are long.
	bytesPerBatch = 1 << 22
)

// A Batch is what a node is sent at a time.
type Batch struct {
	Requests []*Request
	Renew    bool          // the epoch
	Horizon  time.Duration // for how long the node is to keep what they touch
}

// Take returns the next batch for a node, unless there is nothing to send. It is the last
// one again if that has got no answer.
func (m *Machine) Take(node int, now time.Time) (b Batch, ok bool) {
	n := m.nodes[node]
	if len(n.sent) == 0 && !n.beat && !m.fill(n, now) {
		return b, false
	}
	for _, r := range n.sent {
		r.again, r.sent = r.again || r.sent, true
		v := &r.of.votes[n.index]
		v.touched = n.epoch
		if r.Kind.binds() {
			v.dirty = true
		}
	}
	n.began = now
	return Batch{Requests: n.sent, Renew: n.beat, Horizon: m.Horizon()}, true
}

// fill makes the next batch of a node, and reports whether there is anything in it.
func (m *Machine) fill(n *node, now time.Time) bool {
	if m.closed || len(n.queue) == 0 && len(n.lacks) == 0 && !n.renew {
		return false
	}
	taken, bytes := 0, 0
	for _, r := range n.queue {
		if len(n.sent) == requestsPerBatch || bytes > bytesPerBatch {
			break
		}
		taken++
		if r.off {
			n.off--
			continue
		}
		bytes += len(r.of.lock)
		n.sent = append(n.sent, r)
		n.mark = r.seq
	}
	if taken == len(n.queue) {
		n.mark = n.asked
	}
	n.queue = append(n.queue[:0], n.queue[taken:]...)
	n.beat, n.renew = n.renew, false
	m.revotes(n, now)
	for _, r := range n.sent {
		r.Token, r.Slot, r.round = r.of.token, r.of.slot, r.of.round
		if v := &r.of.votes[n.index]; v.request == r {
			v.request = nil
			v.token, v.slot, v.round = r.Token, r.Slot, r.round
		}
	}
	// All that lacked votes may have them by now, or be over.
	return taken > 0 || len(n.sent) > 0 || n.beat
}

// Unsend takes the word of a node that it has done nothing of the batch.
func (m *Machine) Unsend(node int) {
	for _, r := range m.nodes[node].sent {
		r.sent = r.again
	}
}

// Answer takes a node's answers to the batch that was sent at that time.
func (m *Machine) Answer(node int, answers []Answer, sent, now time.Time) {
	n := m.nodes[node]
	n.rtt += (now.Sub(sent) - n.rtt) / 8
	n.began, n.answered = time.Time{}, max(n.answered, n.mark)
	if n.beat {
		n.beat = false
		m.renewed(n.epoch, sent, now)
	}
	for i, r := range n.sent {
		m.answer(n, r, &answers[i], sent, now)
	}
	for _, r := range n.sent {
		if r.of.state == waiting && r.of.op.Wait {
			m.enlist(r.of)
		}
		m.weigh(r.of, now)
	}
	clear(n.sent)
	n.sent = n.sent[:0]
	m.effects.Moved = true
}

func (m *Machine) answer(n *node, r *Request, w *Answer, sent, now time.Time) {
	a := r.of
	v := &a.votes[n.index]
	if r.Kind.binds() {
		v.open--
	}
	switch r.Kind {
	case AskVote, AskAgain:
		m.voted(n, r, w, sent, now)
	case AskCheck:
		m.checked(n, r, w, now)
	case AskRelease:
		if v.release != r {
			return
		}
		v.release = nil
		switch {
		case w.Word == Failed && a.state == releasing:
			v.refusal = w.Err
		case w.Word == Failed:
			n.owed = append(n.owed, a)
		default:
			v.freed = a.state == releasing
			v.answered(r, w.Flag)
		}
	}
}

// voted takes a node's answer to who asked for its vote at that time.
func (m *Machine) voted(n *node, r *Request, w *Answer, sent, now time.Time) {
	a := r.of
	v := &a.votes[n.index]
	if a.state == releasing || a.state == refused || v.state != voteAsked || v.token != r.Token || v.slot != r.Slot || v.request != nil {
		return // It asks for something else by now.
	}
	v.round = max(v.round, r.round)
	told := v.told
	v.told = false
	switch w.Word {
	case Given:
		v.state, v.epoch, v.since, v.missing, v.doubted = voteGiven, n.epoch, sent, false, false
		v.others = w.Flag
		switch {
		case v.others && a.state == holding:
			m.contend(a)
		case a.state == waiting && !a.stays:
			// It came too late for the round, and would only be in others' way.
			n.add(&Request{Kind: AskYield, of: a})
			v.state = voteNone
		}
	case Low:
		v.state, v.offer = voteUnfit, offer{floor: w.Number}
	case High:
		v.state, v.offer = voteUnfit, offer{ceiling: w.Number}
	case Busy:
		v.state, v.rivals = voteBusy, append(v.rivals[:0], w.Rivals...)
	case Reserved:
		v.state = voteReserved
	case Withheld:
		if v.state, v.wait = voteWithheld, w.Wait; r.Kind == AskAgain {
			m.alarms.set(a, now.Add(w.Wait+time.Millisecond))
		}
	case OtherLimit:
		v.state = voteLimit
	case Doubted:
		v.state, v.doubted = voteNone, true
		a.doubts++
		m.check(a, now)
	default:
		v.state, v.err = voteFailed, w.Err
	}
	if told && (v.state == voteBusy || v.state == voteReserved) {
		// What the node pushed since has come before its answer.
		m.turn(a, n, NoSlot, now)
	}
}
