package check

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/journal"
)

const ms = int64(time.Millisecond)

// at is a record at a time in milliseconds.
func at(t int64, kind journal.Kind, v ...int64) journal.Record {
	r := journal.Record{At: t * ms, Kind: kind}
	copy(r.V[:], v)
	return r
}

// process returns one with a session 1 of a client 0.
func process(slot int, records ...journal.Record) *Process {
	return &Process{Slot: slot, Records: append([]journal.Record{at(0, journal.Opened, 0, 1)}, records...)}
}

func history1(p Promise, processes ...*Process) *Run {
	return &Run{
		Promise: p, Class: backend.Mutex, TTL: time.Second, Names: 1, Calm: 1, Over: 1,
		Drain: 100_000 * ms, Patience: time.Second, Processes: processes,
	}
}

// TestOrder: who is overtaken is found, unless he was told so late that he may not
// have stood in the queue.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name                         string
		unseen                       time.Duration
		queued                       int64 // when the first was told to wait; he asked at 10
		first                        int64 // when he was granted it; the second at 30
		checked, excused, violations int
	}{
		{"in order", 0, 12, 25, 1, 0, 0},
		{"overtaken", 0, 12, 40, 1, 0, 1},
		{"overtaken, told in the last moment", 0, 19, 40, 1, 0, 1},
		{"told after the other asked", 0, 21, 40, 0, 0, 0},
		{"overtaken, told soon", 10 * time.Millisecond, 19, 40, 1, 0, 1},
		{"overtaken, told late", 9 * time.Millisecond, 19, 40, 0, 1, 0},
	} {
		a := process(0, at(10, journal.Ask, 0, 1, 7, 0, int64(backend.Exclusive), 1),
			at(c.queued, journal.Queued, 0, 1, 7), at(c.first, journal.Taken, 0, 1, 7, 1))
		b := process(1, at(20, journal.Ask, 0, 1, 8, 0, int64(backend.Exclusive), 1), at(30, journal.Taken, 0, 1, 8, 2))
		h := newHistory(history1(Promise{Caps: backend.Caps{Queue: true}, Unseen: c.unseen}, a, b))
		var i Invariant
		h.order(&i)
		if i.Checked != c.checked || i.Excused != c.excused || i.Violations != c.violations {
			t.Errorf("%s: checked %d, excused %d, violations %d %v", c.name, i.Checked, i.Excused, i.Violations, i.Examples)
		}
	}
}

// TestOrderTakenOver: who takes over a place that was asked for so long ago may have been
// told to wait without standing in the queue.
func TestOrderTakenOver(t *testing.T) {
	for _, gone := range []int64{14, 16} { // when the store has said that the first one is gone
		exclusive := int64(backend.Exclusive)
		a := process(0, at(5, journal.Ask, 0, 1, 6, 0, exclusive, 1), at(14, journal.Withdraw, 0, 1, 6), at(gone, journal.Gone, 0, 1, 6),
			at(15, journal.Ask, 0, 1, 7, 0, exclusive, 1), at(17, journal.Queued, 0, 1, 7), at(40, journal.Taken, 0, 1, 7, 3))
		b := process(1, at(20, journal.Ask, 0, 1, 8, 0, exclusive, 1), at(30, journal.Taken, 0, 1, 8, 2))
		h := newHistory(history1(Promise{Caps: backend.Caps{Queue: true}, Unseen: 10 * time.Millisecond}, a, b))
		var i Invariant
		h.order(&i)
		if want := int(gone-14) / 2; i.Excused != want || i.Violations != 1-want {
			t.Errorf("gone at %d: checked %d, excused %d, violations %d %v", gone, i.Checked, i.Excused, i.Violations, i.Examples)
		}
	}
}

// TestOrderBehind: who asks behind another one of the same session has a place of his
// own, or has none where a session has but one.
func TestOrderBehind(t *testing.T) {
	for _, single := range []bool{false, true} {
		exclusive := int64(backend.Exclusive)
		a := process(0, at(5, journal.Ask, 0, 1, 6, 0, exclusive, 1), at(6, journal.Queued, 0, 1, 6),
			at(10, journal.Ask, 0, 1, 7, 0, exclusive, 1), at(11, journal.Queued, 0, 1, 7),
			at(15, journal.Taken, 0, 1, 6, 1), at(40, journal.Taken, 0, 1, 7, 3))
		b := process(1, at(20, journal.Ask, 0, 1, 8, 0, exclusive, 1), at(30, journal.Taken, 0, 1, 8, 2))
		h := newHistory(history1(Promise{Caps: backend.Caps{Queue: true}, Single: single}, a, b))
		var i Invariant
		h.order(&i)
		if i.Checked+i.Excused == 0 || (i.Violations == 0) != single {
			t.Errorf("single %v: checked %d, excused %d, violations %d %v", single, i.Checked, i.Excused, i.Violations, i.Examples)
		}
	}
}

// TestDeadHolder: a lock that a killed process held is free in time, and who stands
// still meanwhile has that much more; where another fault happens to who waits, it is
// judged from the end of that.
func TestDeadHolder(t *testing.T) {
	for _, c := range []struct {
		name                         string
		granted                      int64 // to who waits; the holder was killed at 100
		stall                        int64 // of the waiter, from 200 on
		fault                        *fault.Event
		checked, excused, violations int
	}{
		{"in time", 1000, 0, nil, 1, 0, 0},
		{"late", 1200, 0, nil, 1, 0, 1},
		{"late, and stood still", 1200, 200, nil, 0, 1, 0},
		{"later than that", 1300, 150, nil, 1, 0, 1},
		{"its own death is no excuse", 1200, 0, &fault.Event{Kind: "kill worker", Slot: 0, Lock: -1, Begin: 100 * ms, End: 101 * ms}, 1, 0, 1},
		{"one of who waits is", 1200, 0, &fault.Event{Kind: "stop worker", Slot: 1, Lock: -1, Begin: 100 * ms, End: 200 * ms}, 0, 1, 0},
		{"for its time", 1250, 0, &fault.Event{Kind: "stop worker", Slot: 1, Lock: -1, Begin: 100 * ms, End: 200 * ms}, 1, 0, 1},
		{"one of a bystander is none", 1200, 0, &fault.Event{Kind: "stop worker", Slot: 2, Lock: -1, Begin: 100 * ms, End: 200 * ms}, 1, 0, 1},
	} {
		a := process(0, at(10, journal.Call, 0, 1, 0, int64(backend.Exclusive), 1), at(11, journal.Grant, 0, 1, 1, 7, 0, 0, 1))
		a.Killed = 100 * ms
		b := process(1, at(50, journal.Call, 0, 1, 0, int64(backend.Exclusive), 1))
		if c.stall > 0 {
			b.Records = append(b.Records, at(200+c.stall, journal.Stall, 200*ms))
		}
		b.Records = append(b.Records, at(c.granted, journal.Grant, 0, 1, 1, 8, 0, 0, 2))
		r := history1(Promise{Caps: backend.Caps{Processes: true}, Woken: 250 * time.Millisecond, Killed: time.Second}, a, b)
		if c.fault != nil {
			r.Faults = append(r.Faults, c.fault)
		}
		v := new(Verdict)
		newHistory(r).wakeups(v)
		if i := v.Invariants[9]; i.Checked != c.checked || i.Excused != c.excused || i.Violations != c.violations {
			t.Errorf("%s: checked %d, excused %d, violations %d %v", c.name, i.Checked, i.Excused, i.Violations, i.Examples)
		}
	}
}

// TestGapsOfSemaphore: each grant ends one gap of a lock that several may hold, so who
// waits while it is full has lost nothing, and who waits while a unit is free has.
func TestGapsOfSemaphore(t *testing.T) {
	for _, c := range []struct {
		name       string
		second     int64 // when the second of two free units is granted again
		violations int
	}{
		{"full while somebody waits", 112, 0},
		{"a unit free while somebody waits", 500, 1},
	} {
		r := history1(Promise{Woken: 250 * time.Millisecond})
		r.Class, r.Limit = backend.Semaphore, 2
		h := &history{Run: r, names: make([][]*Hold, 1), waits: make([][]*Hold, 1), left: make(map[*Process]int)}
		p := &Process{}
		hold := func(call, granted, released int64) {
			o := &Hold{
				call: call * ms, granted: granted * ms, release: released * ms, released: released * ms, end: released * ms,
				confirmed: true, signal: never, lost: never, deadline: never, process: p,
			}
			h.names[0], h.waits[0] = append(h.names[0], o), append(h.waits[0], o)
		}
		hold(1, 2, 100)
		hold(1, 2, 101)
		hold(50, 111, 600)
		hold(51, 600, 1000) // It waits all the time.
		hold(105, c.second, 700)
		v := new(Verdict)
		h.wakeups(v)
		if n := v.Invariants[7].Violations; n != c.violations {
			t.Errorf("%s: %d violations %v", c.name, n, v.Invariants[7].Examples)
		}
	}
}

// TestStaleGrant: who was granted a lock that a fault took away before he heard of it has
// a token that is behind; nobody else has.
func TestStaleGrant(t *testing.T) {
	restart := &fault.Event{Kind: "restart server", Slot: -1, Lock: -1, Begin: 50 * ms, End: 100 * ms, Overlap: time.Second}
	later := *restart
	later.Begin, later.End = 155*ms, 180*ms
	for _, c := range []struct {
		name              string
		deadline, granted int64 // of the one whose token is behind
		fault             *fault.Event
		violations        int
	}{
		{"granted before the fault", 1020, 200, restart, 0},
		{"without a fault", 1020, 200, nil, 1},
		{"a lease from after the fault", 1150, 200, restart, 1},
		{"too late", 1020, 1200, restart, 1},
		{"a fault from after the greater token", 1020, 200, &later, 1},
	} {
		r := history1(Promise{Caps: backend.Caps{Fencing: true}})
		if c.fault != nil {
			r.Faults = append(r.Faults, c.fault)
		}
		h := &history{Run: r, names: make([][]*Hold, 1)}
		for _, o := range []*Hold{
			{granted: 150 * ms, end: 160 * ms, deadline: 1120 * ms, token: 2},
			{granted: c.granted * ms, end: (c.granted + 10) * ms, deadline: c.deadline * ms, token: 1},
		} {
			o.mode, o.process = backend.Exclusive, &Process{}
			h.names[0] = append(h.names[0], o)
		}
		v := new(Verdict)
		h.tokens(&v.Invariants[3])
		if n := v.Invariants[3].Violations; n != c.violations {
			t.Errorf("%s: %d violations %v", c.name, n, v.Invariants[3].Examples)
		}
	}
}
