package vote

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
	"github.com/dlock-go/dlock/internal/chain"
)

// MaxNodes is how many nodes a quorum may have.
const MaxNodes = 9

// PollEvery is how often those who wait ask without being told to: a push may be lost,
// and a node may have come back without knowing of them.
const PollEvery = 900 * time.Millisecond

// A Config is what a machine is told once.
type Config struct {
	TTL   time.Duration
	Nodes []string              // names, for errors
	Doing func(node int) string // what a node is at that was never up
	Ahead time.Duration         // of this machine's clock, for tests

	Random *rand.Rand // or nil
}

// A Machine is all acquisitions of one session and what it knows of the nodes. It is not
// safe for concurrent use, and what it returns is good until the next call.
type Machine struct {
	Config   // immutable
	majority int

	nodes        []*node
	batch        batch
	acquisitions map[uint64]*acquisition            // by owner
	deciding     map[*acquisition]bool              // those whose answer the batch waits for
	rota         chain.List[acquisition]            // but those that end; first who was checked longest ago
	slots        map[string]map[uint32]*acquisition // by lock: those that acquisitions of this session go for
	leases       map[epochs]*lease
	lastLease    uint32
	tokens       tokens
	alarms       alarms
	noticed      redislock.Notices
	opened       bool
	closed       bool
	revoted      time.Time // when upkeep was done last
	doubted      time.Time // when a node last said that it has forgotten the session

	events  []backend.Event
	effects Effects
}

// Effects are what a machine wants of whoever drives it.
type Effects struct {
	Send  [MaxNodes]bool // there is something to Take for the node
	Moved bool           // Look may find something new
}

// New returns a machine whose nodes were not reached yet.
func New(c Config) *Machine {
	if c.Random == nil {
		c.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	m := &Machine{
		Config:       c,
		majority:     Majority(len(c.Nodes)),
		acquisitions: make(map[uint64]*acquisition),
		deciding:     make(map[*acquisition]bool),
		slots:        make(map[string]map[uint32]*acquisition),
		leases:       make(map[epochs]*lease),
		tokens:       tokens{random: c.Random, ahead: c.Ahead},
	}
	for i := range c.Nodes {
		m.nodes = append(m.nodes, &node{machine: m, index: i, state: nodeDialing, rtt: time.Millisecond})
	}
	return m
}

// Majority returns how many of n nodes are a majority.
func Majority(n int) int { return n/2 + 1 }

// Effects returns what is to be done after the calls since the last one.
func (m *Machine) Effects() Effects {
	e := m.effects
	m.effects = Effects{}
	return e
}

// Events returns the events since the last call.
func (m *Machine) Events() []backend.Event {
	events := m.events
	m.events = m.events[:0]
	return events
}

func (m *Machine) tell(e backend.Event) { m.events = append(m.events, e) }

// Notice has the caller log something about a node.
func (m *Machine) Notice(node int, why error) {
	if why = fmt.Errorf("%s: %w", m.Nodes[node], why); m.noticed.Fresh(why) {
		m.tell(backend.Event{Kind: backend.EventNotice, Err: why})
	}
}

// Opened has nodes that change from now on be told of: before, they keep the session from
// being opened.
func (m *Machine) Opened() { m.opened = true }

// Close has nothing sent any more but what may have been sent already.
func (m *Machine) Close() { m.closed = true }

// Idle reports whether the session has nothing, and asks for nothing.
func (m *Machine) Idle() bool { return len(m.acquisitions) == 0 }

// random returns a time below a bound.
func (m *Machine) random(bound time.Duration) time.Duration {
	return time.Duration(m.Random.Int64N(int64(bound)))
}

// awaited reports whether the batch waits for the answer to a.
func (m *Machine) awaited(a *acquisition) bool { return m.deciding[a] }

// reconsider weighs all acquisitions that ask: a node has changed.
func (m *Machine) reconsider(now time.Time) {
	for a := range m.rota.All() {
		m.weigh(a, now)
	}
	m.effects.Moved = true
}

// NodesError tells that too few nodes take part. why has an entry for each node. It wraps
// what is to last if it is true of enough nodes to prevent a majority.
func NodesError(nodes []string, why []error) error {
	deny := 0
	for _, err := range why {
		if redislock.Lasting(err) {
			deny++
		}
	}
	var causes []error
	for i, err := range why {
		switch {
		case err == nil:
		case redislock.Lasting(err) && deny <= len(nodes)-Majority(len(nodes)):
			causes = append(causes, fmt.Errorf("%s: %v", nodes[i], err))
		default:
			causes = append(causes, fmt.Errorf("%s: %w", nodes[i], err))
		}
	}
	return fmt.Errorf("no majority of the nodes: %w", errors.Join(causes...))
}

// Sizes returns how much the machine keeps, by what it is: for tests of sessions that live
// long.
func (m *Machine) Sizes() map[string]int {
	size := map[string]int{
		"acquisitions": len(m.acquisitions), "slots": len(m.slots), "leases": len(m.leases), "alarms": len(m.alarms.queue),
		"events": cap(m.events), "deciding": len(m.deciding), "results": cap(m.batch.results),
	}
	for _, n := range m.nodes {
		size["requests"] += len(n.queue) + len(n.sent) + len(n.owed)
		size["room for requests"] += cap(n.queue) + cap(n.sent)
	}
	return size
}
