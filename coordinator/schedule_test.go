package coordinator_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/memory"
	"github.com/dlock-go/dlock/coordinator"
)

var seed = flag.Uint64("schedule.seed", 0, "replay the random schedule of this seed")

// TestSchedules runs several machines against one store, single-threaded, with
// everything that can be late being late at random, and looks at each step
// whether a lock has more holders than it may have.
func TestSchedules(t *testing.T) {
	if *seed != 0 {
		schedule(t, *seed)
		return
	}
	n := 3000
	if testing.Short() {
		n = 300
	}
	for range n {
		schedule(t, rand.Uint64())
		if t.Failed() {
			return
		}
	}
}

// A world is a store, its machines, and what their claims believe.
type world struct {
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	now   time.Time
	store *memory.Store
	nodes []*node

	holders map[string]map[*claim]bool // of a lock
	tokens  map[string]uint64          // greatest seen of a lock
}

// A node is a machine, its session, and what is under way between them.
type node struct {
	w       *world
	machine *coordinator.Machine
	caps    backend.Caps
	handoff time.Duration
	session backend.Session // nil when down
	sent    []backend.Op    // a batch that was not applied yet
	ops     []backend.Op    // a batch that was applied and whose answer is under way
	results []backend.Result
	again   []backend.Op // whose answer was lost, to be applied again in this order
	flying  bool         // from the sending of a batch to the answer

	answering bool // ops and results are under way
	events    []backend.Event
	claims    []*claim
}

type claim struct {
	*coordinator.Claim
	key   string
	state string // waiting, held, leaving, over
}

func schedule(t *testing.T, seed uint64) {
	w := &world{
		t:       t,
		seed:    seed,
		rand:    rand.New(rand.NewPCG(seed, 0)),
		now:     time.Now(),
		store:   memory.New(),
		holders: make(map[string]map[*claim]bool),
		tokens:  make(map[string]uint64),
	}
	for range 1 + w.rand.IntN(3) {
		n := &node{w: w, caps: w.store.Caps(), handoff: time.Duration(w.rand.IntN(3)) * time.Millisecond}
		n.caps.Contended = w.rand.IntN(2) == 0
		n.machine = coordinator.NewMachine(n.caps, n.handoff)
		n.open()
		w.nodes = append(w.nodes, n)
	}
	for range 50 + w.rand.IntN(300) {
		w.now = w.now.Add(time.Duration(w.rand.IntN(400)) * time.Microsecond)
		w.nodes[w.rand.IntN(len(w.nodes))].step()
		if t.Failed() {
			return
		}
	}
	w.settle()
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

// settle ends all holds and sees to it that everybody who waits has a turn, and
// that nothing is left.
func (w *world) settle() {
	for round := 0; ; round++ {
		busy := false
		for _, n := range w.nodes {
			for _, c := range n.claims {
				if c.state == "held" {
					n.release(c)
				}
				busy = busy || c.state != "over"
			}
			n.deliver()
			busy = busy || !n.machine.Empty() || n.machine.Pending()
		}
		if !busy {
			break
		}
		if round > 2000 {
			for i, n := range w.nodes {
				for _, c := range n.claims {
					if c.state != "over" {
						w.fail("node %d: claim of %s is %s for ever", i, c.key, c.state)
						return
					}
				}
			}
			w.fail("the machines do not come to rest")
			return
		}
	}
	// The store has nothing left either: every lock can be taken by a stranger.
	s, err := w.store.Open(context.Background(), time.Second, backend.ClientInfo{})
	if err != nil {
		w.t.Fatal(err)
	}
	owner := uint64(0)
	for _, class := range []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore} {
		for name := range names {
			owner++
			op := backend.Op{Do: backend.Acquire, Class: class, Mode: backend.Exclusive, Owner: owner, Limit: limits[class], Name: fmt.Sprint(name)}
			res, _, err := s.Apply(context.Background(), []backend.Op{op})
			if err != nil || res[0].State != backend.Granted {
				w.fail("%v %d is not free at the end: %v %v", class, name, res, err)
			}
		}
	}
	if err := s.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
}

const names = 2

var limits = map[backend.Class]uint32{backend.Mutex: 1, backend.RWMutex: 1, backend.Semaphore: 2}

func (n *node) open() {
	s, err := n.w.store.Open(context.Background(), time.Second, backend.ClientInfo{})
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.session = s
}

// step has one thing happen.
func (n *node) step() {
	r := n.w.rand
	switch r.IntN(16) {
	case 0, 1, 2, 3:
		n.submit()
	case 4, 5, 6:
		if c := n.pick("held"); c != nil {
			n.release(c)
		}
	case 7:
		if c := n.pick("waiting"); c != nil {
			c.state = "over" // Its goroutine no longer listens.
			n.machine.Cancel(c.Claim, n.w.now)
			n.tell()
		}
	case 8:
		if r.IntN(8) == 0 {
			n.down()
		}
	case 9, 10:
		n.send()
		n.apply()
	case 11:
		n.send()
	case 12:
		n.answer()
	case 13:
		n.receive()
	case 14:
		n.hear()
	case 15:
		n.deliver()
	}
}

// deliver has everything that is under way arrive.
func (n *node) deliver() {
	if n.session == nil {
		n.open()
	}
	n.send()
	n.apply()
	n.answer()
	n.receive()
	n.hear()
}

func (n *node) pick(state string) *claim {
	var in []*claim
	for _, c := range n.claims {
		if c.state == state {
			in = append(in, c)
		}
	}
	if len(in) == 0 {
		return nil
	}
	return in[n.w.rand.IntN(len(in))]
}

func (n *node) submit() {
	r := n.w.rand
	class := backend.Class(1 + r.IntN(3))
	mode := backend.Exclusive
	if class == backend.RWMutex && r.IntN(3) > 0 {
		mode = backend.Shared
	}
	name := fmt.Sprint(r.IntN(names))
	c := &claim{
		Claim: coordinator.NewClaim(class, name, limits[class], mode, r.IntN(4) == 0),
		key:   fmt.Sprint(class, " ", name),
		state: "waiting",
	}
	n.claims = append(n.claims, c)
	n.machine.Submit(c.Claim, n.w.now)
	n.tell()
}

func (n *node) release(c *claim) {
	delete(n.w.holders[c.key], c)
	c.state = "leaving"
	n.machine.Release(c.Claim, n.w.now)
	n.tell()
}

func (n *node) send() {
	if n.session != nil && !n.flying && n.machine.Pending() {
		n.sent = n.machine.Batch(nil, n.w.now)
		n.flying = len(n.sent) > 0
		n.tell()
	}
}

func (n *node) apply() {
	if n.session == nil || len(n.sent)+len(n.again) == 0 || n.answering {
		return
	}
	ops := append(n.again, n.sent...)
	results, _, err := n.session.Apply(context.Background(), ops)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.sent, n.again = nil, nil
	n.ops, n.results = n.ops[:0], n.results[:0]
	lost := make(map[uint64]bool)
	for i, op := range ops {
		if lost[op.Owner] || n.w.rand.IntN(20) == 0 {
			lost[op.Owner] = true
			n.again = append(n.again, op)
			continue
		}
		n.ops, n.results = append(n.ops, op), append(n.results, results[i])
	}
	n.answering = true
}

func (n *node) answer() {
	if n.answering {
		n.machine.Answered(n.ops, n.results, n.w.now)
		n.answering, n.flying = false, len(n.sent) > 0
		n.tell()
	}
}

func (n *node) receive() {
	if n.session == nil {
		return
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	events, err := n.session.Recv(over)
	if err != nil && !errors.Is(err, context.Canceled) {
		n.w.t.Fatal(err)
	}
	n.events = append(n.events, events...)
	if len(n.events) > 0 && n.w.rand.IntN(4) == 0 {
		n.events = append(n.events, n.events[n.w.rand.IntN(len(n.events))]) // At least once.
	}
}

func (n *node) hear() {
	n.machine.Heard(n.events, n.w.now)
	n.events = n.events[:0]
	n.tell()
}

// down ends the session. Here its holders hear of it before the store frees
// anything, as the deadlines of leases have it.
func (n *node) down() {
	if n.session == nil {
		return
	}
	n.machine.Down(errors.New("pulled the plug"), nil)
	n.tell()
	if err := n.session.Close(context.Background()); err != nil {
		n.w.t.Error(err)
	}
	n.session, n.sent, n.again, n.events = nil, nil, nil, n.events[:0]
	n.flying, n.answering = false, false
}

// tell has the claims hear what the machine decided.
func (n *node) tell() {
	var gaveUp []*claim
	defer func() {
		for _, c := range gaveUp {
			n.machine.Cancel(c.Claim, n.w.now)
			n.tell()
		}
	}()
	for _, e := range effects(n.machine) {
		var c *claim
		for _, each := range n.claims {
			if each.Claim == e.Claim {
				c = each
			}
		}
		switch e.Kind {
		case coordinator.Grant:
			if c.state != "waiting" {
				n.w.fail("%s granted to a claim that is %s", c.key, c.state)
			}
			if n.w.rand.IntN(10) == 0 {
				// Its goroutine gives up in the same moment and never knows.
				c.state = "over"
				gaveUp = append(gaveUp, c)
				continue
			}
			c.state = "held"
			n.w.hold(c, e.Token)
		case coordinator.Refuse:
			if c.state != "waiting" || !c.Try {
				n.w.fail("%s refused to a claim that is %s: %v", c.key, c.state, e.Err)
			}
			c.state = "over"
		case coordinator.Freed:
			if c.state != "leaving" {
				n.w.fail("%s freed for a claim that is %s", c.key, c.state)
			}
			c.state = "over"
		case coordinator.End:
			if c.state != "held" {
				n.w.fail("%s lost by a claim that is %s", c.key, c.state)
			}
			delete(n.w.holders[c.key], c)
			c.state = "over"
		}
	}
}

// hold notes a grant and checks what it must not do.
func (w *world) hold(c *claim, token uint64) {
	if w.holders[c.key] == nil {
		w.holders[c.key] = make(map[*claim]bool)
	}
	w.holders[c.key][c] = true
	weight := 0 // Readers weigh 1, writers 10 000.
	for h := range w.holders[c.key] {
		if h.Mode == backend.Shared {
			weight++
		} else {
			weight += 10_000
		}
	}
	if weight > 10_000*int(limits[c.Class]) && weight >= 10_000 {
		w.fail("%s has holders of weight %d", c.key, weight)
	}
	if c.Mode == backend.Exclusive && c.Class != backend.Semaphore && token <= w.tokens[c.key] {
		w.fail("%s: token %d after %d", c.key, token, w.tokens[c.key])
	}
	w.tokens[c.key] = max(w.tokens[c.key], token)
}
