package check

import (
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/journal"
)

// A script writes the journal of one worker, of a client 0 with a session 1.
type script struct {
	*Process
	op int64
}

func worker(slot int) *script { return &script{Process: process(slot)} }

func (s *script) add(r ...journal.Record) { s.Records = append(s.Records, r...) }

// call is the begin of an attempt that would wait for so many milliseconds.
func (s *script) call(t int64, mode backend.Mode, wait int64) int64 {
	s.op++
	s.add(at(t, journal.Call, 0, s.op, 0, int64(mode), wait*ms))
	return s.op
}

// queue is a place at the store, for an attempt.
func (s *script) queue(t, op int64, mode backend.Mode) {
	s.add(at(t, journal.Ask, 0, 1, op, 0, int64(mode), 1), at(t+1, journal.Queued, 0, 1, op))
}

// grant tells the store's grant and that of the attempt.
func (s *script) grant(t, op, token int64) {
	s.add(at(t, journal.Taken, 0, 1, op, token), at(t, journal.Grant, 0, op, 1, op, 0, 0, token))
}

func (s *script) release(t, op int64) {
	s.add(at(t, journal.Release, 0, op), at(t, journal.Withdraw, 0, 1, op),
		at(t+1, journal.Gone, 0, 1, op), at(t+1, journal.Released, 0, op))
}

// failed ends an attempt or, by what it is, a release without success.
func (s *script) failed(t int64, kind journal.Kind, op int64, why string) {
	r := at(t, kind, 0, op)
	r.Text = why
	s.add(r)
}

// hold is a hold from the call to the release.
func (s *script) hold(t, granted, released int64, mode backend.Mode, token int64) {
	op := s.call(t, mode, 30_000)
	s.queue(t, op, mode)
	s.grant(granted, op, token)
	s.release(released, op)
}

// stall is a time in which the worker stood still.
func (s *script) stall(from, to int64) { s.add(at(to, journal.Stall, from*ms)) }

// pledge is what a store of the first kind promises.
func pledge() Promise {
	return Promise{
		Caps:  backend.Caps{Queue: true, Processes: true, Fencing: true},
		Turns: Turns{backend.MaxWriters, backend.MaxWriters + 1},
		Woken: 50 * time.Millisecond, Signal: time.Second, Killed: 100 * time.Millisecond,
	}
}

// on is a fault; a slot or a lock below 0 is none.
func on(kind string, slot, lock int, begin, end int64) *fault.Event {
	return &fault.Event{Kind: kind, Slot: slot, Lock: lock, Begin: begin * ms, End: end * ms}
}

func judge(class backend.Class, p Promise, faults []*fault.Event, scripts ...*script) *Verdict {
	r := history1(p)
	r.Class, r.Limit, r.TTL, r.Calm, r.Faults = class, 2, 2*time.Second, 1000*ms, faults
	for _, s := range scripts {
		r.Processes = append(r.Processes, s.Process)
	}
	return Check(r)
}

// expect compares what became of an invariant.
func expect(t *testing.T, v *Verdict, n, excused, violations int) {
	t.Helper()
	if i := v.Invariants[n]; i.Excused != excused || i.Violations != violations {
		t.Errorf("invariant %d: checked %d, excused %d, not %d, violations %d, not %d: %v",
			n, i.Checked, i.Excused, excused, i.Violations, violations, i.Examples)
	}
}

// TestFaultsOfOthers: what happens to one worker is no excuse for a lock that others want,
// and what happens to the store is one until it is over.
func TestFaultsOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                string
		fault               *fault.Event
		excused, violations int
	}{
		{"none", nil, 0, 1},
		{"another worker was stopped before", on("stop worker", 2, -1, 0, 150), 0, 1},
		{"another worker is stopped", on("stop worker", 2, -1, 90, 16_000), 0, 1},
		{"another lock", on("delete lock file", -1, 3, 90, 16_000), 0, 1},
		{"the store, to the end", on("stop server", -1, -1, 90, 15_990), 1, 0},
		{"the store, for a moment", on("stop server", -1, -1, 90, 200), 0, 1},
		{"the lock", on("delete lock file", -1, 0, 90, 15_990), 1, 0},
		{"who waits", on("stop worker", 1, -1, 90, 15_990), 1, 0},
		{"long before", on("stop server", -1, -1, 0, 50), 0, 1},
		{"too late", on("stop server", -1, -1, 1000, 15_990), 0, 1},
	} {
		a, b := worker(0), worker(1)
		a.hold(10, 11, 100, backend.Exclusive, 1)
		b.hold(50, 16_000, 16_001, backend.Exclusive, 2)
		var faults []*fault.Event
		if c.fault != nil {
			faults = append(faults, c.fault)
		}
		v := judge(backend.Mutex, pledge(), faults, a, b, worker(2))
		t.Log(c.name)
		expect(t, v, 7, c.excused, c.violations)
		if c.excused > 0 && v.Invariants[7].Excuses[c.fault.Kind] != 1 {
			t.Errorf("excuses: %v", v.Invariants[7].Excuses)
		}
	}
}

// TestOverlapOfOthers: two may hold at once, and a token may be behind, if that was named
// of a fault of one of the two, and for as long.
func TestOverlapOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		slot, lock int
		until      int64 // when the first one stops
		violations int
	}{
		{"of the first", 0, -1, 700, 0},
		{"of the second", 1, -1, 700, 0},
		{"of another", 2, -1, 700, 1},
		{"of the store", -1, -1, 700, 0},
		{"of the lock", -1, 0, 700, 0},
		{"of another lock", -1, 1, 700, 1},
		{"for too long", -1, -1, 1101, 1},
	} {
		f := on("cut connections", c.slot, c.lock, 90, 100)
		f.Overlap = time.Second
		a, b := worker(0), worker(1)
		a.hold(10, 11, c.until, backend.Exclusive, 1)
		b.hold(150, 200, 5000, backend.Exclusive, 2)
		t.Log(c.name)
		expect(t, judge(backend.Mutex, pledge(), []*fault.Event{f}, a, b, worker(2)), 1, 1-c.violations, c.violations)

		if c.until > 1000 {
			continue
		}
		// The second one hears of its grant when another, with a greater token, is through.
		a, b = worker(0), worker(1)
		b.hold(100, 110, 120, backend.Exclusive, 2)
		f.Slot, f.Begin, f.End = c.slot, 50*ms, 60*ms
		if c.slot == 1 {
			continue // of who had the lock meanwhile: that explains nothing
		}
		a.op++
		a.add(at(40, journal.Call, 0, 1, 0, int64(backend.Exclusive), 1000*ms), at(130, journal.Grant, 0, 1, 1, 1, 0, 1000*ms, 1))
		a.release(140, 1)
		expect(t, judge(backend.Mutex, pledge(), []*fault.Event{f}, a, b, worker(2)), 3, 1-c.violations, c.violations)
	}
}

// TestLossOfOthers: a loss is explained by a fault of its own worker, of its lock or of the
// store, and for no longer than a time to live.
func TestLossOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		slot, lock int
		end        int64
		violations int
	}{
		{"its own", 0, -1, 2000, 0},
		{"another's", 1, -1, 2000, 1},
		{"of the store", -1, -1, 2000, 0},
		{"of the lock", -1, 0, 2000, 0},
		{"of another lock", -1, 1, 2000, 1},
		{"long ago", -1, -1, 900, 1},
		{"of a minority of the store", -2, -1, 2000, 1},
	} {
		a := worker(0)
		op := a.call(10, backend.Exclusive, 1000)
		a.queue(10, op, backend.Exclusive)
		a.grant(11, op, 1)
		a.add(at(3000, journal.Lost, 0, op))
		a.release(3001, op)
		t.Log(c.name)
		f := on("x", c.slot, c.lock, 500, c.end)
		f.Minor = c.slot == -2
		expect(t, judge(backend.Mutex, pledge(), []*fault.Event{f}, a, worker(1)), 8, 0, c.violations)
		if f.Minor {
			expect(t, judge(backend.Mutex, pledge(), []*fault.Event{f, on("y", -1, -1, 1900, 1950)}, a, worker(1)), 8, 0, 0)
		}
	}
}

// TestOrderOfOthers: who waits loses its place by what happens to itself or to the store.
func TestOrderOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                string
		slot                int
		excused, violations int
	}{{"its own", 0, 1, 0}, {"of who was first", 1, 0, 1}, {"of another", 2, 0, 1}, {"of the store", -1, 1, 0}} {
		a, b := worker(0), worker(1)
		a.hold(10, 40, 45, backend.Exclusive, 2)
		b.hold(20, 30, 35, backend.Exclusive, 1)
		t.Log(c.name)
		expect(t, judge(backend.Mutex, pledge(), []*fault.Event{on("x", c.slot, -1, 15, 25)}, a, b, worker(2)), 6, c.excused, c.violations)
	}
}

// TestBounds: what is promised has to be kept to the time that was promised, and more only
// where somebody who has to do with it, or the machine, was seen to stand still.
func TestBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                string
		granted             int64 // the lock was free from 101 on
		stalled             int   // whose worker, or -1 for the machine's, from 110 to 290
		excused, violations int
	}{
		{"pushed", 150, 2, 0, 0},
		{"after 200 ms", 300, 2, 0, 1},
		{"who waited stood still", 300, 1, 1, 0},
		{"the machine stood still", 300, -1, 1, 0},
		{"for longer than that", 350, 1, 0, 1},
	} {
		a, b, bystander := worker(0), worker(1), worker(2)
		a.hold(10, 11, 100, backend.Exclusive, 1)
		b.hold(50, c.granted, c.granted+1, backend.Exclusive, 2)
		var v *Verdict
		switch c.stalled {
		case 1:
			b.stall(110, 290)
		case 2:
			bystander.stall(110, 290)
		}
		r := history1(pledge(), a.Process, b.Process, bystander.Process)
		if c.stalled < 0 {
			r.Stalls = []Stall{{110 * ms, 290 * ms}}
		}
		v = Check(r)
		t.Log(c.name)
		expect(t, v, 7, c.excused, c.violations)
	}

	t.Log("a budget of 5 ms")
	for _, late := range []int64{10, 100} {
		a, b := worker(0), worker(1)
		a.Handoff = 5 * time.Millisecond
		b.hold(10, 300, 310, backend.Exclusive, 9)
		first := a.call(5, backend.Exclusive, 1000)
		a.queue(5, first, backend.Exclusive)
		a.grant(6, first, 1)
		heir := a.call(20, backend.Exclusive, 1000)
		a.add(at(15+late-1, journal.Release, 0, first), at(15+late-1, journal.Released, 0, first))
		a.add(at(15+late, journal.Grant, 0, heir, 1, first, 0, 0, 2))
		a.add(at(20+late, journal.Release, 0, heir), at(20+late, journal.Released, 0, heir))
		violations := 0
		if late > 50 {
			violations = 1
		}
		expect(t, judge(backend.Mutex, pledge(), nil, a, b), 6, 0, violations)
	}

	t.Log("the order of tickets")
	for _, late := range []int64{5, 100} {
		for _, token := range []int64{1, 3} { // of the first; the other's is 2
			a, b := worker(0), worker(1)
			a.hold(10, 30+late, 300, backend.Exclusive, token)
			b.hold(20, 30, 300, backend.Exclusive, 2)
			violations := 0
			if late > 50 && token > 2 {
				violations = 1
			}
			expect(t, judge(backend.Semaphore, pledge(), nil, a, b), 6, 0, violations)
		}
	}

	t.Log("a loss")
	for _, told := range []int64{1500, 3500} {
		f := on("delete lock file", -1, 0, 490, 500)
		f.Takes = true
		a := worker(0)
		op := a.call(10, backend.Exclusive, 1000)
		a.grant(11, op, 1)
		a.add(at(told, journal.Lost, 0, op))
		a.release(told+1, op)
		violations := 0
		if told > 2000 {
			violations = 2 // also so late that the fault does not explain it
		}
		expect(t, judge(backend.Mutex, pledge(), []*fault.Event{f}, a), 8, 0, violations)
	}
}

// TestFailures: a call that fails with no fault near is a violation.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                string
		fault               *fault.Event
		excused, violations int
	}{
		{"nothing", nil, 0, 2},
		{"its own worker", on("reset connections", 0, -1, 5, 60), 2, 0},
		{"another worker", on("reset connections", 1, -1, 5, 60), 0, 2},
		{"the store", on("disk full", -1, -1, 5, 60), 2, 0},
		{"long ago", on("disk full", -1, -1, 1, 2), 0, 2},
	} {
		a := worker(0)
		op := a.call(10, backend.Exclusive, 1000)
		a.failed(20, journal.Fail, op, "dlock: acquire chaos/0: no reason")
		op = a.call(30, backend.Exclusive, 1000)
		a.grant(40, op, 1)
		a.add(at(50, journal.Release, 0, op))
		a.failed(51, journal.Released, op, "dlock: release chaos/0: no reason")
		var faults []*fault.Event
		if c.fault != nil {
			faults = append(faults, c.fault)
		}
		t.Log(c.name)
		expect(t, judge(backend.Mutex, pledge(), faults, a, worker(1)), 14, c.excused, c.violations)
	}
}

// TestTries: a try that finds a lock busy has somebody to blame for that.
func TestTries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		who        func(a *script)
		violations int
	}{
		{"nobody", func(*script) {}, 1},
		{"somebody held it before", func(a *script) { a.hold(10, 11, 90, backend.Exclusive, 1) }, 1},
		{"somebody holds it", func(a *script) { a.hold(10, 11, 150, backend.Exclusive, 1) }, 0},
		{"somebody waits", func(a *script) { a.failed(101, journal.Fail, a.call(99, backend.Exclusive, 2), "timeout") }, 0},
		{"the store has not said that it is free", func(a *script) {
			op := a.call(10, backend.Exclusive, 10)
			a.queue(10, op, backend.Exclusive)
			a.failed(20, journal.Fail, op, "timeout")
			a.add(at(21, journal.Withdraw, 0, 1, op), at(104, journal.Gone, 0, 1, op))
		}, 0},
	} {
		a, b := worker(0), worker(1)
		c.who(a)
		op := b.call(100, backend.Exclusive, -1)
		b.add(at(100, journal.Ask, 0, 1, op, 0, int64(backend.Exclusive), 0), at(102, journal.Gone, 0, 1, op))
		b.failed(103, journal.Fail, op, "busy")
		t.Log(c.name)
		expect(t, judge(backend.Mutex, pledge(), nil, a, b), 13, 0, c.violations)
	}
}

// TestInside: of the goroutines of a process the one that came first is served first.
func TestInside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		grants     [3]int64 // of those who called at 10, 30 and 50
		violations int
	}{
		{"first come, first served", [3]int64{100, 110, 120}, 0},
		{"last come, first served", [3]int64{140, 120, 100}, 3},
		{"one that waits for 25 s", [3]int64{25_000, 110, 120}, 2},
	} {
		a := worker(0)
		for k, call := range []int64{10, 30, 50} {
			op := a.call(call, backend.Exclusive, 30_000)
			a.add(at(c.grants[k], journal.Grant, 0, op, 1, 1, 0, 0, c.grants[k]))
			a.release(c.grants[k]+5, op)
		}
		t.Log(c.name)
		expect(t, judge(backend.Mutex, pledge(), nil, a), 15, 0, c.violations)
	}
}

// TestReadersMeet: who wants to read is let in beside one that reads, unless somebody
// wants to write.
func TestReadersMeet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		granted    int64 // to the second; the first reads from 11 to 1000
		writer     bool
		violations int
	}{{"together", 60, false, 0}, {"one after the other", 1005, false, 1}, {"behind a writer", 1050, true, 0}} {
		a, b, w := worker(0), worker(1), worker(2)
		a.hold(10, 11, 1000, backend.Shared, 1)
		b.hold(50, c.granted, c.granted+10, backend.Shared, 3)
		if c.writer {
			w.hold(40, 1002, 1048, backend.Exclusive, 2)
		}
		t.Log(c.name)
		expect(t, judge(backend.RWMutex, pledge(), nil, a, b, w), 4, 0, c.violations)
	}
}

// TestTurns: readers have their turn after as many writers as was promised, not before and
// not later.
func TestTurns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ writers, early, late int }{
		{1, 1, 0}, {8, 1, 0}, {16, 0, 0}, {17, 0, 0}, {18, 0, 1}, {40, 0, 1},
	} {
		// Two take turns to write, so that one of them always waits.
		w := []*script{worker(0), worker(1)}
		r := worker(2)
		r.add(at(0, journal.Opened, 0, 1))
		r.hold(12, int64(20+10*c.writers), int64(25+10*c.writers), backend.Shared, 1000)
		for k := range c.writers + 2 {
			granted := int64(15 + 10*k)
			if k >= c.writers {
				granted += 15
			}
			w[k%2].hold(granted-17, granted, granted+4, backend.Exclusive, int64(k+1))
		}
		v := judge(backend.RWMutex, pledge(), nil, w[0], w[1], r)
		t.Logf("after %d", c.writers)
		expect(t, v, 16, 0, c.late)
		// That who waited before the reader came was passed is seen by the order.
		if got := v.Invariants[6].Violations; got != 0 {
			t.Errorf("order: %v", v.Invariants[6].Examples)
		}
	}
	for _, early := range []int{1, 15, 16} {
		w, other, r := worker(0), worker(1), worker(2)
		other.hold(11, 400, 405, backend.Exclusive, 999) // waits all the time, for its store is not fair
		for k := range early {
			w.hold(int64(10*k)+8, int64(20+10*k), int64(24+10*k), backend.Exclusive, int64(k+1))
		}
		r.hold(14, int64(26+10*early), int64(30+10*early), backend.Shared, 998)
		violations := 1
		if early >= backend.MaxWriters {
			violations = 0
		}
		v := judge(backend.RWMutex, pledge(), nil, w, other, r)
		n := 0
		for _, e := range v.Invariants[6].Examples {
			if strings.Contains(e, "to read after") {
				n++
			}
		}
		if n != violations {
			t.Errorf("a turn after %d writers: %v", early, v.Invariants[6].Examples)
		}
	}
}

// TestPassed: where there is no order, nobody is passed by for ever.
func TestPassed(t *testing.T) {
	t.Parallel()
	p := pledge()
	p.Caps.Queue, p.Passed = false, 20
	for _, n := range []int64{20, 21} {
		a, b := worker(0), worker(1)
		a.hold(10, 20+10*n, 25+10*n, backend.Exclusive, 1)
		for k := range n {
			b.hold(12+10*k, 13+10*k, 18+10*k, backend.Exclusive, k+2)
		}
		t.Log(n)
		expect(t, judge(backend.Mutex, p, nil, a, b), 17, 0, int(n-20))
	}
}

// TestVoid: a run in which nothing was judged that it was about counts for nothing.
func TestVoid(t *testing.T) {
	t.Parallel()
	void := func(v *Verdict, what string) bool {
		return strings.Contains(strings.Join(v.Void, "; "), what)
	}
	a, prober := worker(0), worker(0)
	prober.Prober = true
	prober.add(at(1, journal.Places, 0, 1, 1))
	v := judge(backend.Mutex, pledge(), nil, a, prober)
	for _, n := range []int{1, 2, 3, 6, 7, 11, 13} {
		if !void(v, Invariants[n]) {
			t.Errorf("%d is not missed: %q", n, v.Void)
		}
	}
	for _, n := range []int{4, 5, 9, 16, 17} {
		if void(v, Invariants[n]) {
			t.Errorf("%d is missed: %q", n, v.Void)
		}
	}
	// A crowd is there also when its process was killed.
	a.Killed = 90 * ms
	a.add(at(20, journal.Places, 0, 1, 1), at(30, journal.Crowd, 0, 1, 1000))
	v = judge(backend.Mutex, pledge(), nil, a, prober)
	if void(v, Invariants[11]) || v.Invariants[11].Checked != 1 {
		t.Errorf("11 is missed: %q", v.Void)
	}
	if !void(v, Invariants[9]) {
		t.Errorf("9 is not missed: %q", v.Void)
	}
}

// TestProgress: a hundred grants a second are progress, or fewer where the machine had less
// time than that.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		grants int64
		busy   bool
		void   bool
	}{{110, false, false}, {50, false, true}, {50, true, false}, {30, true, true}} {
		a := worker(0)
		for k := range c.grants {
			a.hold(2*k, 2*k+1, 2*k+1, backend.Exclusive, k+1)
		}
		if c.busy {
			a.stall(400, 1000)
		}
		v := judge(backend.Mutex, pledge(), nil, a)
		if void := strings.Contains(strings.Join(v.Void, "; "), "no progress"); void != c.void {
			t.Errorf("%d grants, busy %v: %v", c.grants, c.busy, v.Void)
		}
	}
}

// TestEffects: a fault has an effect if something was seen of its worker, its lock or its
// store that is not seen without one.
func TestEffects(t *testing.T) {
	t.Parallel()
	lost := func() *script {
		a := worker(0)
		op := a.call(10, backend.Exclusive, 1000)
		a.grant(11, op, 1)
		a.add(at(3000, journal.Lost, 0, op))
		a.release(3001, op)
		return a
	}
	slow := func(stall bool) *script {
		a := worker(0)
		if stall {
			a.stall(2900, 3000)
		}
		a.add(at(3000, journal.Slow, 0, 1, 100*ms, 0))
		return a
	}
	dead := func(waits bool) []*script {
		a, b := worker(0), worker(1)
		op := a.call(10, backend.Exclusive, 1000)
		a.queue(10, op, backend.Exclusive)
		a.grant(11, op, 1)
		a.Killed = 2510 * ms
		if waits {
			b.hold(50, 2520, 2530, backend.Exclusive, 2)
		}
		return []*script{a, b}
	}
	destroyed := on("flushall", -1, -1, 2500, 2600)
	destroyed.Did = "2 locks forgotten"
	for _, c := range []struct {
		name    string
		fault   *fault.Event
		scripts []*script
		effect  string
	}{
		{"nothing", on("flushall", -1, -1, 2500, 2600), []*script{worker(0)}, ""},
		{"what it has done itself", destroyed, []*script{worker(0)}, "2 locks forgotten"},
		{"a loss", on("flushall", -1, -1, 2500, 2600), []*script{lost()}, "1 holds lost"},
		{"a loss of another worker", on("cut connections", 1, -1, 2500, 2600), []*script{lost(), worker(1)}, ""},
		{"a loss of another lock", on("delete lock file", -1, 1, 2500, 2600), []*script{lost()}, ""},
		{"a late answer", on("latency", 0, -1, 2500, 3100), []*script{slow(false)}, "1 answers late"},
		{"late since the machine stood still", on("latency", 0, -1, 2500, 3100), []*script{slow(true)}, ""},
		{"a holder was killed", on("kill worker", 0, -1, 2500, 2520), dead(false), ""},
		{"a holder was killed, and others waited", on("kill worker", 0, -1, 2500, 2520), dead(true), "1 of its locks went to who waited"},
	} {
		v := judge(backend.Mutex, pledge(), []*fault.Event{c.fault}, c.scripts...)
		if c.fault.Effect != c.effect {
			t.Errorf("%s: %q, not %q", c.name, c.fault.Effect, c.effect)
		}
		if want := time.Duration(c.fault.End - c.fault.Begin); v.Active != want {
			t.Errorf("%s: faults were on for %v, not %v", c.name, v.Active, want)
		}
	}

	// What happened to the worker explains its losses, and not what happened to all.
	own, all := on("cut connections", 0, -1, 2500, 2600), on("latency", -1, -1, 2550, 3100)
	judge(backend.Mutex, pledge(), []*fault.Event{own, all}, lost())
	if own.Effect == "" || all.Effect != "" {
		t.Errorf("put down to %q and %q", own.Effect, all.Effect)
	}
}
