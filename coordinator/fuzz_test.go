package coordinator_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// FuzzMachine tells a machine whatever the input says, in any order that the
// contract allows and with owners that nobody knows, and compares what it does with
// a model: a store that is a map, and claims that are words. Unlike TestSchedules it
// is not bound to what a driver of ours would say.
func FuzzMachine(f *testing.F) {
	for i := range 32 {
		r := rand.New(rand.NewPCG(uint64(i), 0))
		seed := make([]byte, 100*(i+1))
		for k := range seed {
			seed[k] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMimic(t, data)
		for len(m.data) > 0 && !t.Failed() {
			m.step()
		}
		m.finish()
	})
}

// A mimic plays everybody whom a machine has to do with.
type mimic struct {
	t       *testing.T
	data    []byte
	now     time.Time
	machine *coordinator.Machine
	closed  bool

	claims  []*part
	owners  map[uint64]*participant
	ordinal uint64
	tokens  map[lockName]uint64 // the greatest of an exclusive hold
	flying  []backend.Op        // sent and not answered
}

type lockName struct {
	class backend.Class
	name  string
}

// A part is a claim, and what is known of it.
type part struct {
	*coordinator.Claim
	state string // waiting, held, leaving, over
}

// A participant is an owner as the store knows it.
type participant struct {
	op    backend.Op
	state string // asked, queued, granted, over
	grant backend.Grant
	freed bool // Release was sent
}

func newMimic(t *testing.T, data []byte) *mimic {
	m := &mimic{
		t:      t,
		data:   data,
		now:    time.Now(),
		owners: make(map[uint64]*participant),
		tokens: make(map[lockName]uint64),
	}
	caps := backend.Caps{Contended: m.pick(2) == 0}
	m.machine = coordinator.NewMachine(caps, time.Duration(m.pick(3))*time.Millisecond)
	return m
}

// pick takes a choice of n out of the input; it is 0 when there is none left.
func (m *mimic) pick(n int) int {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return int(b) % n
}

func (m *mimic) step() {
	m.now = m.now.Add(time.Duration(m.pick(4)) * 300 * time.Microsecond)
	switch m.pick(12) {
	case 0, 1:
		m.submit()
	case 2:
		if c := m.choose("held"); c != nil {
			m.release(c)
		}
	case 3:
		if c := m.choose("waiting"); c != nil {
			c.state = "over" // It does not listen any more.
			m.machine.Cancel(c.Claim, m.now)
		}
	case 4, 5:
		m.send()
	case 6, 7:
		m.answer(false)
	case 8:
		m.event()
	case 9:
		m.stray()
	case 10:
		m.trouble()
	case 11:
		m.machine.Overdue(m.now.Add(-time.Millisecond), errors.New("overdue"))
	}
	m.hear()
}

func (m *mimic) choose(state string) *part {
	var in []*part
	for _, c := range m.claims {
		if c.state == state {
			in = append(in, c)
		}
	}
	if len(in) == 0 {
		return nil
	}
	return in[m.pick(len(in))]
}

func (m *mimic) submit() {
	class := backend.Class(1 + m.pick(3))
	mode := backend.Exclusive
	if class == backend.RWMutex && m.pick(2) == 1 {
		mode = backend.Shared
	}
	c := &part{
		Claim: coordinator.NewClaim(class, fmt.Sprint(m.pick(2)), limits[class], mode, m.pick(3) == 0),
		state: "waiting",
	}
	m.claims = append(m.claims, c)
	m.machine.Submit(c.Claim, m.now)
}

func (m *mimic) release(c *part) {
	c.state = "leaving"
	m.machine.Release(c.Claim, m.now)
}

// send has the machine make a batch, when there is none under way.
func (m *mimic) send() {
	if len(m.flying) > 0 || !m.machine.Pending() {
		return
	}
	m.flying = m.machine.Batch(nil, m.now)
	for _, op := range m.flying {
		p := m.owners[op.Owner]
		switch {
		case op.Do == backend.Release:
			if p == nil || p.freed {
				m.t.Errorf("owner %d is released, and was not asked for or was released before", op.Owner)
				continue
			}
			p.freed = true
		case p == nil:
			m.owners[op.Owner] = &participant{op: op, state: "asked"}
		case op != p.op:
			m.t.Errorf("owner %d asked for %+v and then for %+v", op.Owner, p.op, op)
		case p.freed:
			m.t.Errorf("owner %d is asked for again after its release", op.Owner)
		}
	}
	m.places()
}

// places looks whether the machine has more places in the queues of the store than
// there are tickets.
func (m *mimic) places() {
	type place struct {
		lockName
		mode backend.Mode
	}
	n := make(map[place]int)
	for _, p := range m.owners {
		if p.op.Wait && !p.freed && (p.state == "asked" || p.state == "queued") {
			n[place{lockName{p.op.Class, p.op.Name}, p.op.Mode}]++
		}
	}
	for k, n := range n {
		if n > int(limits[k.class]) {
			m.t.Errorf("%v: %d places at the store", k, n)
		}
	}
}

// free reports whether the store may grant an owner its lock.
func (m *mimic) free(p *participant) bool {
	exclusive, shared := 0, 0
	for _, o := range m.owners {
		if o.state == "granted" && o.op.Class == p.op.Class && o.op.Name == p.op.Name {
			if o.op.Mode == backend.Shared {
				shared++
			} else {
				exclusive++
			}
		}
	}
	switch {
	case p.op.Mode == backend.Shared:
		return exclusive == 0
	case p.op.Class == backend.Semaphore:
		return exclusive < int(p.op.Limit)
	}
	return exclusive+shared == 0
}

func (m *mimic) grant(p *participant) backend.Grant {
	if p.state != "granted" {
		m.ordinal++
		p.state = "granted"
		p.grant = backend.Grant{Ordinal: m.ordinal, Lease: backend.Lease{ID: uint32(m.pick(2))}}
	}
	g := p.grant
	g.Contended = m.pick(2) == 1
	return g
}

// answer answers some of what is under way, or all, in order of each owner.
func (m *mimic) answer(all bool) {
	var ops, later []backend.Op
	var results []backend.Result
	unknown := make(map[uint64]bool)
	for _, op := range m.flying {
		if unknown[op.Owner] || !all && m.pick(5) == 4 {
			unknown[op.Owner] = true
			later = append(later, op)
			continue
		}
		ops = append(ops, op)
		results = append(results, m.result(op))
	}
	m.flying = later
	m.machine.Answered(ops, results, m.now)
}

func (m *mimic) result(op backend.Op) backend.Result {
	p := m.owners[op.Owner]
	switch {
	case op.Do == backend.Release:
		p.state = "over"
		return backend.Result{State: backend.Released}
	case p.state == "over":
		// It is released, or was lost: it will be released.
		return backend.Result{State: backend.Failed, Err: errors.New("over")}
	case p.state == "granted" || m.free(p) && m.pick(4) > 0:
		return backend.Result{State: backend.Granted, Grant: m.grant(p)}
	case m.pick(16) == 15:
		p.state = "over"
		return backend.Result{State: backend.Failed, Err: errors.New("no")}
	case op.Wait:
		p.state = "queued"
		return backend.Result{State: backend.Queued}
	}
	p.state = "over"
	return backend.Result{State: backend.Busy}
}

// event has the store tell something that may be so.
func (m *mimic) event() {
	numbers := slices.Sorted(maps.Keys(m.owners))
	if len(numbers) == 0 {
		return
	}
	n := numbers[m.pick(len(numbers))]
	p := m.owners[n]
	e := backend.Event{Owner: n}
	switch {
	case (p.state == "queued" || p.state == "asked" && p.op.Wait) && !p.freed && m.free(p) && m.pick(3) > 0, p.state == "granted" && m.pick(3) == 0:
		e.Kind, e.Grant = backend.EventGranted, m.grant(p)
	case p.state == "queued" && m.pick(2) == 0:
		e.Kind = backend.EventTurn
	case p.state == "granted" && m.pick(2) == 0:
		e.Kind = backend.EventLost
		p.state = "over"
	default:
		e.Kind = backend.EventContended
	}
	m.machine.Heard([]backend.Event{e}, m.now)
}

// stray has the store tell what is about nobody, or nobody any more.
func (m *mimic) stray() {
	n := 1<<40 + uint64(m.pick(4))
	for _, o := range slices.Sorted(maps.Keys(m.owners)) {
		if m.owners[o].state == "over" && m.owners[o].freed && m.pick(2) == 0 {
			n = o
		}
	}
	kind := backend.EventKind(1 + m.pick(4))
	m.machine.Heard([]backend.Event{{Kind: kind, Owner: n, Grant: backend.Grant{Ordinal: 1}}}, m.now)
}

// trouble ends a lease, the session, or the machine.
func (m *mimic) trouble() {
	switch m.pick(8) {
	case 0, 1, 2:
		lease := uint32(m.pick(2))
		for _, p := range m.owners {
			if p.state == "granted" && p.grant.Lease.ID == lease {
				p.state = "over"
			}
		}
		m.machine.Lapsed(lease)
	case 3, 4:
		m.machine.Down(errors.New("down"), nil)
		clear(m.owners)
		m.flying = nil
	case 5:
		m.machine.Unreachable(errors.New("out of reach"))
	case 6:
		m.machine.Close()
		m.closed = true
	}
}

// hear takes the machine's effects, and looks whether they can be.
func (m *mimic) hear() {
	var gaveUp []*part // in the moment of their grant, of which they never know
	for _, e := range effects(m.machine) {
		i := slices.IndexFunc(m.claims, func(c *part) bool { return c.Claim == e.Claim })
		c := m.claims[i]
		want := map[coordinator.EffectKind]string{
			coordinator.Grant: "waiting", coordinator.Refuse: "waiting",
			coordinator.Freed: "leaving", coordinator.Move: "held", coordinator.End: "held", coordinator.Missed: "over",
		}[e.Kind]
		if c.state != want {
			m.t.Errorf("effect %d for a claim that is %s", e.Kind, c.state)
		}
		switch e.Kind {
		case coordinator.Grant:
			c.state = "held"
			m.token(c, e.Token)
			if m.pick(8) == 7 {
				gaveUp = append(gaveUp, c)
			}
		case coordinator.Refuse, coordinator.Freed, coordinator.End:
			c.state = "over"
		}
	}
	for _, c := range gaveUp {
		if c.state != "held" {
			continue // It was lost in the same breath.
		}
		c.state = "over"
		m.machine.Cancel(c.Claim, m.now)
		m.hear()
	}
	m.compare()
}

func (m *mimic) token(c *part, token uint64) {
	if c.Mode == backend.Shared || c.Class == backend.Semaphore {
		return
	}
	k := lockName{c.Class, c.Name}
	if token <= m.tokens[k] {
		m.t.Errorf("%v: token %d after %d", k, token, m.tokens[k])
	}
	m.tokens[k] = token
}

// compare holds the claims that hold against the owners that do: each exclusive
// owner is good for one, a shared one for any number.
func (m *mimic) compare() {
	type count struct{ exclusive, shared int }
	claims, owners := make(map[lockName]count), make(map[lockName]count)
	add := func(to map[lockName]count, class backend.Class, name string, mode backend.Mode) {
		k := lockName{class, name}
		n := to[k]
		if mode == backend.Shared {
			n.shared++
		} else {
			n.exclusive++
		}
		to[k] = n
	}
	waiting := 0
	for _, c := range m.claims {
		switch c.state {
		case "held":
			add(claims, c.Class, c.Name, c.Mode)
		case "waiting":
			waiting++
		}
	}
	for _, p := range m.owners {
		if p.state == "granted" && !p.freed {
			add(owners, p.op.Class, p.op.Name, p.op.Mode)
		}
	}
	for k, c := range claims {
		if o := owners[k]; c.exclusive > o.exclusive || c.shared > 0 && o.shared == 0 {
			m.t.Errorf("%v: claims hold %+v, and the store has granted %+v", k, c, o)
		}
	}
	if waiting != m.machine.Waiting() {
		m.t.Errorf("%d claims wait, and the machine says %d", waiting, m.machine.Waiting())
	}
}

// finish has everybody leave, and everything answered: then nothing is left.
func (m *mimic) finish() {
	m.data = nil
	for range 1000 {
		if m.t.Failed() {
			return
		}
		for _, c := range m.claims {
			switch c.state {
			case "held":
				m.release(c)
			case "waiting":
				c.state = "over"
				m.machine.Cancel(c.Claim, m.now)
			}
			m.hear()
		}
		m.send()
		m.answer(true)
		m.hear()
		if len(m.flying) == 0 && !m.machine.Pending() && m.machine.Empty() {
			break
		}
	}
	if !m.machine.Empty() || m.machine.Pending() {
		m.t.Error("the machine does not come to rest")
	}
	for _, c := range m.claims {
		if c.state != "over" {
			m.t.Errorf("a claim is %s for ever", c.state)
		}
	}
	for n, p := range m.owners {
		if p.state == "granted" || p.state == "queued" {
			m.t.Errorf("owner %d is %s at the store, and the machine has forgotten it", n, p.state)
		}
	}
}
