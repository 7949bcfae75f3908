package vote

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

func TestAbove(t *testing.T) {
	now := backend.OrdinalTime(1_000_000)
	for _, c := range []struct {
		what   string
		offers []offer
		want   uint64
	}{
		{"nobody has refused", []offer{{}, {}, {}}, 1_000_000},
		{"one refuses what is too low", []offer{{floor: 2_000_000}, {}, {}}, 2_000_001},
		{"one was led astray", []offer{{floor: 9_000_000}, {ceiling: 3_000_000}, {ceiling: 3_000_000}}, 3_000_000},
		{"the clock here is ahead", []offer{{ceiling: 900_000}, {ceiling: 800_000}, {ceiling: 700_000}}, 800_000},
	} {
		if got := new(tokens).above(c.offers, 2, 0, now); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	// What was learned serves the next.
	b := new(tokens)
	b.above([]offer{{ceiling: 900_000}, {ceiling: 900_000}, {ceiling: 900_000}}, 2, 0, now)
	if next := b.next(now); next > 900_001 {
		t.Errorf("the next token is %d", next)
	}
}

// newMachine returns a machine whose three nodes are up.
func newMachine(ttl time.Duration, now time.Time) *Machine {
	m := New(Config{TTL: ttl, Nodes: []string{"a", "b", "c"}, Doing: func(int) string { return "dialing" }})
	for i := range m.nodes {
		m.Up(i, now, true, now)
	}
	return m
}

func acquire(class backend.Class, limit uint32, wait bool) *backend.Op {
	return &backend.Op{Do: backend.Acquire, Class: class, Mode: backend.Exclusive, Wait: wait, Limit: limit, Owner: 1, Name: "a"}
}

// Votes of epochs that are about to end are no grant before they are renewed.
func TestLittleLeft(t *testing.T) {
	const ttl = 8 * time.Second
	now := time.Now()
	m := newMachine(ttl, now)
	a := newAcquisition(acquire(backend.Mutex, 1, false), 3, now)
	a.state, a.token = asking, 1
	for i, n := range m.nodes {
		a.votes[i] = vote{state: voteGiven, token: 1, epoch: n.epoch, since: now}
	}
	// The deadline is that of the second longest epoch.
	m.nodes[0].epoch.until = now.Add(ttl / 10)
	m.nodes[1].epoch.until = now.Add(ttl / 10)
	if m.weigh(a, now); a.state != asking {
		t.Errorf("state %d with a tenth of the time to live left", a.state)
	}
	m.nodes[1].epoch.until = now.Add(ttl / 2)
	m.extend(now)
	if m.weigh(a, now); a.state != holding || !a.lease.until.Equal(now.Add(ttl/2)) {
		t.Errorf("state %d", a.state)
	}
	// Once past its deadline it does not come back.
	late := now.Add(ttl)
	m.nodes[1].epoch.until = now.Add(2 * ttl)
	m.nodes[0].epoch.until = now.Add(2 * ttl)
	if m.extend(late); !a.lease.ended(late) {
		t.Error("a lease came back")
	}
}

// Who does not wait ends soon when nobody wins: all others in its batch wait for it.
func TestTryEnds(t *testing.T) {
	now := time.Now()
	m := newMachine(time.Second, now)
	a := newAcquisition(acquire(backend.Semaphore, 2, false), 3, now)
	began, rounds := now, 0
	for m.attempt(a, now); a.state != refused; rounds++ {
		switch a.state {
		case asking: // Two nodes say that the slot is taken, and name different holders of it.
			for i := range 2 {
				v := &a.votes[i]
				v.request = nil
				v.state, v.rivals = voteBusy, []Rival{{a.slot, fmt.Sprint("rival", i)}}
			}
			now = now.Add(time.Millisecond)
			m.weigh(a, now)
		case waiting:
			now = a.due
			m.attempt(a, now)
		default:
			t.Fatalf("state %d", a.state)
		}
	}
	if d := now.Sub(began); d > 100*time.Millisecond || a.result.State != backend.Busy {
		t.Errorf("result %v after %v and %d rounds", a.result.State, d, rounds)
	}
}

// Two acquisitions that keep each other from the nodes that answer both try again, by
// themselves: neither knows whether the node that does not answer makes the other a holder.
// Who is kept away by a majority waits for a push.
func TestRivalsWithASilentNode(t *testing.T) {
	now := time.Now()
	for _, class := range []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore} {
		for _, majority := range []bool{false, true} {
			m := newMachine(time.Second, now)
			m.nodes[2].state = nodeDown
			a := newAcquisition(acquire(class, 1, true), 3, now)
			for round := range 30 {
				m.attempt(a, now)
				for a.state == asking {
					for i := range 2 {
						a.votes[i].request, a.votes[i].touched = nil, m.nodes[i].epoch
						a.votes[i].state, a.votes[i].rivals = voteBusy, []Rival{{0, "rival"}}
					}
					if !majority {
						a.votes[round%2].state, a.votes[round%2].epoch, a.votes[round%2].since = voteGiven, m.nodes[round%2].epoch, now
					}
					now = now.Add(time.Millisecond)
					m.weigh(a, now)
				}
				if a.state != waiting || a.due.IsZero() != majority {
					t.Fatalf("class %d, majority %v, round %d: state %d, due in %v", class, majority, round, a.state, a.due.Sub(now))
				}
				if majority {
					break
				}
				if d := a.due.Sub(now); d > 2*longestPause {
					t.Fatalf("round %d: pauses for %v", round, d)
				}
				now = a.due
			}
		}
	}
}

// An acquisition that a node has told of a release asks the others when they have not told of it
// for a while, also if the answer of that node comes only after that.
func TestGather(t *testing.T) {
	now := time.Now()
	m := newMachine(time.Second, now)
	a := newAcquisition(acquire(backend.Mutex, 1, true), 3, now)
	a.state, a.stays, a.token, a.round = waiting, true, 1, 1
	a.votes[0] = vote{state: voteGiven, token: 1, round: 1, epoch: m.nodes[0].epoch, since: now}
	m.turn(a, m.nodes[1], NoSlot, now)
	m.Attend(now.Add(gather))
	if states := []voteState{a.votes[0].state, a.votes[1].state, a.votes[2].state}; !slices.Equal(states, []voteState{voteGiven, voteAsked, voteNone}) {
		t.Fatalf("votes are in the states %v", states)
	}
	a.votes[1].request, a.votes[1].state = nil, voteUnfit
	m.weigh(a, now.Add(gather+time.Millisecond))
	if a.votes[2].state != voteAsked {
		t.Errorf("the node that has not told was not asked: state %d", a.votes[2].state)
	}
}

// A node that tells of a release is asked, also when its word in an earlier round was
// that the token was unfit.
func TestTurnAfterUnfit(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		round int // of the node's vote, of 2
		asked bool
	}{{1, true}, {2, false}} {
		m := newMachine(time.Second, now)
		a := newAcquisition(acquire(backend.Mutex, 1, true), 3, now)
		a.state, a.token, a.round = asking, 1, 2
		a.votes[0] = vote{state: voteUnfit, round: test.round}
		m.turn(a, m.nodes[0], NoSlot, now)
		if asked := a.votes[0].state == voteAsked; asked != test.asked {
			t.Errorf("an unfit vote of round %d: state %d", test.round, a.votes[0].state)
		}
	}
}

// What is touched stays until it is touched again, of a client with many locks and of one
// with a short time to live, too.
func TestHorizonOfAQuorum(t *testing.T) {
	for _, c := range []struct {
		ttl   time.Duration
		locks int
	}{{10 * time.Second, 1}, {10 * time.Second, 100_000}, {time.Hour, 10_000_000}, {50 * time.Millisecond, 1}} {
		turn := time.Duration(c.locks/checksPerThird+1) * c.ttl // with the fewest heartbeats that keep a session alive
		if h := horizon(c.ttl, c.locks); h < turn+turn/4 || h < 5*PollEvery || h < 12*c.ttl {
			t.Errorf("%d locks and a time to live of %v: %v, and a turn takes up to %v", c.locks, c.ttl, h, turn)
		}
	}
}

// A vote that is too old to win is given back with the others, also by a node that is not
// asked for votes any more.
func TestOldVoteOfAnUnfitNode(t *testing.T) {
	now := time.Now()
	m := newMachine(10*time.Second, now)
	a := newAcquisition(acquire(backend.Mutex, 1, true), 3, now)
	a.state, a.token, a.round = asking, 1, 1
	a.votes[0] = vote{state: voteGiven, token: 1, round: 1, epoch: m.nodes[0].epoch, since: now.Add(-WinsFor(m.TTL))}
	m.Evicts(0, fmt.Errorf("it evicts"))
	m.ask(a, now)
	for i := 1; i < 3; i++ {
		v := &a.votes[i]
		v.request = nil
		v.state, v.rivals = voteBusy, []Rival{{0, "rival"}}
	}
	m.weigh(a, now)
	if a.state != waiting {
		t.Fatalf("state %d", a.state)
	}
	if q := m.nodes[0].queue; len(q) != 1 || q[0].Kind != AskYield {
		t.Errorf("the node is asked %+v", q)
	}
}
