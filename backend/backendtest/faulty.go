package backendtest

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// ErrInjected is the cause of every failure that a [FaultyBackend] makes up.
var ErrInjected = errors.New("dlock: injected fault")

// A Fault is a way in which a call of a [FaultyBackend] goes wrong.
type Fault uint8

// The faults. A session that dies by one is abandoned: the store keeps what the
// session had until Plan.Linger is over or Bury is called.
const (
	// FailOpen makes Open fail.
	FailOpen Fault = iota + 1
	// FailBefore makes Apply fail before it took effect. The session is dead.
	FailBefore
	// FailAfter makes Apply fail after all of it took effect. The session is
	// dead.
	FailAfter
	// UnknownBefore answers all ops by Unknown and applies none. Leases are not
	// renewed.
	UnknownBefore
	// UnknownAfter applies all ops and answers them by Unknown. Leases are not
	// renewed, as far as the caller knows.
	UnknownAfter
	// DelayBefore applies the batch after Plan.Delay. Where ctx ends first, it
	// is not applied and Unknown.
	DelayBefore
	// DelayAfter applies the batch at once and answers after Plan.Delay. Where
	// ctx ends first, it is Unknown.
	DelayAfter
	// DropEvents loses grants and turns; after Plan.Repair they are followed by
	// EventTurn, as when a driver looks for what it has missed. Other news comes
	// as late.
	DropEvents
	// DoubleEvents delivers events twice, the second time in reverse.
	DoubleEvents
	// FailRecv has the session die when it would receive events, which are lost.
	FailRecv

	faults // how many there are, and one
)

// A Plan tells how a [FaultyBackend] behaves. The zero value injects nothing by
// itself.
type Plan struct {
	// Seed determines when the Rates strike.
	Seed uint64
	// Rates are the probabilities, from 0 to 1, with which the calls that a
	// fault concerns suffer it.
	Rates map[Fault]float64
	// Delay is how long DelayBefore and DelayAfter last. 0 stands for 10 ms.
	Delay time.Duration
	// Repair is the time from a dropped event to its repair. 0 stands for 10 ms.
	Repair time.Duration
	// Lease gives the sessions of a driver without leases a lease that lives
	// for so long beyond the last answered batch. The session dies with it.
	Lease time.Duration
	// Linger is how long the store keeps what a dead session had. 0 stands for
	// until Bury.
	Linger time.Duration
}

// A FaultyBackend is a Backend around another that goes wrong on demand and by
// chance. It keeps the contract as long as the other does. It works on fake
// time, too. Call Bury when the test is over.
type FaultyBackend struct {
	// Immutable.
	inner backend.Backend
	plan  Plan

	mu     sync.Mutex
	random *rand.Rand
	rates  map[Fault]float64
	orders []*order
	fired  [faults]int
	living map[*faultySession]bool
	dead   map[*faultySession]*time.Timer // abandoned; the timers may be nil
}

// An order is a fault that a test asked for.
type order struct {
	fault Fault
	left  int
	match func([]backend.Op) bool
}

// Faulty returns a FaultyBackend around b.
func Faulty(b backend.Backend, plan Plan) *FaultyBackend {
	if plan.Delay == 0 {
		plan.Delay = 10 * time.Millisecond
	}
	if plan.Repair == 0 {
		plan.Repair = 10 * time.Millisecond
	}
	return &FaultyBackend{
		inner:  b,
		plan:   plan,
		random: rand.New(rand.NewPCG(plan.Seed, 0)),
		rates:  maps.Clone(plan.Rates),
		living: make(map[*faultySession]bool),
		dead:   make(map[*faultySession]*time.Timer),
	}
}

// FailNext makes the next n calls that fault concerns suffer it, heartbeats too.
func (f *FaultyBackend) FailNext(fault Fault, n int) { f.FailNextOf(fault, n, nil) }

// FailNextOf makes the next n calls of Apply whose ops match suffer fault. Faults
// that were asked for earlier strike earlier, but only one a call.
func (f *FaultyBackend) FailNextOf(fault Fault, n int, match func(ops []backend.Op) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, &order{fault: fault, left: n, match: match})
}

// Acquires matches batches with an Acquire, for FailNextOf.
func Acquires(ops []backend.Op) bool { return does(ops, backend.Acquire) }

// Releases matches batches with a Release, for FailNextOf.
func Releases(ops []backend.Op) bool { return does(ops, backend.Release) }

// Heartbeats matches batches without ops, for FailNextOf.
func Heartbeats(ops []backend.Op) bool { return len(ops) == 0 }

func does(ops []backend.Op, what backend.Do) bool {
	return slices.ContainsFunc(ops, func(op backend.Op) bool { return op.Do == what })
}

// Heal ends all faults, those by chance too. What is dead stays dead.
func (f *FaultyBackend) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders, f.rates = nil, nil
}

// Fired returns how many times fault has struck.
func (f *FaultyBackend) Fired(fault Fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired[fault]
}

// Cut has all sessions die, as if their connections were cut.
func (f *FaultyBackend) Cut() {
	for _, s := range f.sessions() {
		s.die(ErrInjected)
	}
}

// Lose takes the locks of a name away from all who hold them, by an EventLost,
// and returns how many there were. The store keeps each until its Release.
func (f *FaultyBackend) Lose(name string) int {
	n := 0
	for _, s := range f.sessions() {
		n += s.lose(name)
	}
	return n
}

// Bury has the store forget what all dead sessions had, now.
func (f *FaultyBackend) Bury() {
	f.mu.Lock()
	dead := slices.Collect(maps.Keys(f.dead))
	f.mu.Unlock()
	for _, s := range dead {
		f.bury(s)
	}
}

func (f *FaultyBackend) bury(s *faultySession) {
	f.mu.Lock()
	timer, dead := f.dead[s]
	delete(f.dead, s)
	f.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if dead {
		s.inner.Close(context.Background())
	}
}

// abandon leaves what s has to the store for as long as the plan says.
func (f *FaultyBackend) abandon(s *faultySession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.living, s)
	f.dead[s] = nil
	if f.plan.Linger > 0 {
		f.dead[s] = time.AfterFunc(f.plan.Linger, func() { f.bury(s) })
	}
}

func (f *FaultyBackend) sessions() []*faultySession {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.living))
}

// strikes returns the one of the faults that the call at hand suffers, or 0.
func (f *FaultyBackend) strikes(ops []backend.Op, faults ...Fault) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.orders {
		if o.left > 0 && slices.Contains(faults, o.fault) && (o.match == nil || o.match(ops)) {
			o.left--
			f.fired[o.fault]++
			return o.fault
		}
	}
	for _, fault := range faults {
		if f.rates[fault] > f.random.Float64() {
			f.fired[fault]++
			return fault
		}
	}
	return 0
}

// String returns the name of the store, and says that it is faulty.
func (f *FaultyBackend) String() string { return f.inner.String() + " (faulty)" }

// Caps returns what the other Backend claims.
func (f *FaultyBackend) Caps() backend.Caps { return f.inner.Caps() }

// Inspect asks the other Backend.
func (f *FaultyBackend) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	return f.inner.Inspect(ctx, class, name)
}

// Open starts a session, unless FailOpen strikes.
func (f *FaultyBackend) Open(ctx context.Context, ttl time.Duration, who backend.ClientInfo) (backend.Session, error) {
	if f.strikes(nil, FailOpen) != 0 {
		return nil, ErrInjected
	}
	sent := time.Now()
	inner, err := f.inner.Open(ctx, ttl, who)
	if err != nil {
		return nil, err
	}
	s := newFaultySession(f, inner, sent)
	f.mu.Lock()
	f.living[s] = true
	f.mu.Unlock()
	go s.pump()
	return s, nil
}
