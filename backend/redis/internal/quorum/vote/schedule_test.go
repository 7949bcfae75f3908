package vote

import (
	"container/heap"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var (
	scheduleSeed  = flag.Uint64("vote.seed", 0, "play only the schedule of this seed")
	scheduleCount = flag.Int("vote.schedules", 16, "how many schedules TestSchedules plays, TestWildSchedules a quarter of them, and 200 times as many with DLOCK_LONG in the environment")
)

// A schedule is sessions and nodes in time of their own: a seed decides how long each message
// is on its way, which pushes are lost, when nodes fall silent and who wants what when.
type schedule struct {
	t       *testing.T
	random  *rand.Rand
	now     time.Time
	coming  happenings
	servers []*server
	silent  []bool
	held    [][]func() // what a silent node has to do when it speaks again
	clients []*client
	limit   uint32
	lossy   bool      // pushes may be lost
	free    time.Time // since when there has been room beside one who waits, or zero
	longest time.Duration
	until   time.Duration // when the longest ended
	began   time.Time
	fell    time.Duration // when a node fell silent
	highest uint64
	grants  int
	latest  time.Time // when the last one was
	wild    time.Time // until then some hold for long
}

// A client drives a machine as a session does, for owners that acquire and release.
type client struct {
	schedule *schedule
	index    int
	machine  *Machine
	flying   []bool               // by node: a batch is on its way
	runs     []int                // of each node, when the session joined it
	cut      []bool               // nothing comes from or to a node
	behind   [][]func()           // what is to happen when that is over
	asleep   time.Time            // until then the client stands still
	leases   map[uint32]time.Time // as it was told of them
	next     time.Time
	owners   []*wish
	apply    []backend.Op // of the batch that is under way
	began    time.Time
	busy     bool
	asked    []backend.Op // for the next batch
	last     uint64       // owner
}

// A wish is one owner's.
type wish struct {
	client  *client
	owner   uint64
	waits   bool
	granted bool
	lease   uint32
	leaving bool
}

// holds reports whether an owner relies on what it was granted.
func (h *wish) holds() bool {
	return h.granted && h.client.schedule.now.Before(h.client.leases[h.lease])
}

func (w *schedule) after(d time.Duration, f func()) { heap.Push(&w.coming, happening{w.now.Add(d), f}) }

// soon is how long a message is on its way.
func (w *schedule) soon() time.Duration {
	d := 50*time.Microsecond + time.Duration(w.random.Int64N(int64(400*time.Microsecond)))
	if w.random.IntN(20) == 0 {
		d += time.Duration(w.random.Int64N(int64(5 * time.Millisecond)))
	}
	return d
}

// reach has a node do something when it speaks.
func (w *schedule) reach(node int, f func()) {
	w.after(w.soon(), func() {
		if w.silent[node] {
			w.held[node] = append(w.held[node], f)
			return
		}
		f()
	})
}

// wake has a client do something: after d, when it does not stand still.
func (c *client) wake(d time.Duration, f func()) {
	w := c.schedule
	w.after(d, func() {
		if left := c.asleep.Sub(w.now); left > 0 {
			c.wake(left, f)
			return
		}
		f()
	})
}

// reach has a node do something for the client, and receive has the client take what comes
// of it.
func (c *client) reach(node int, f func()) {
	if c.cut[node] {
		c.behind[node] = append(c.behind[node], func() { c.reach(node, f) })
		return
	}
	c.schedule.reach(node, f)
}

func (c *client) receive(node int, f func()) {
	c.wake(c.schedule.soon(), func() {
		if c.cut[node] {
			c.behind[node] = append(c.behind[node], func() { c.receive(node, f) })
			return
		}
		f()
	})
}

// rejoin begins another epoch at a node that does not know the session.
func (c *client) rejoin(node int) {
	w := c.schedule
	c.machine.Unsend(node)
	c.machine.Down(node, ErrOver, false, w.now)
	asked := w.now
	c.reach(node, func() {
		s := w.servers[node]
		end, runs := Forgotten, s.runs
		if c.runs[node] != s.runs {
			end = Restarted
		}
		s.epochs[c.index] = w.now.Add(c.machine.TTL)
		c.receive(node, func() {
			c.flying[node] = false
			c.runs[node] = runs
			c.machine.Over(node, end, w.now)
			c.machine.Up(node, asked, true, w.now)
			c.flush()
		})
	})
}

// flush does what a machine wants.
func (c *client) flush() {
	w := c.schedule
	c.machine.Effects()
	for node := range w.servers {
		if c.flying[node] {
			continue
		}
		sent := w.now
		batch, ok := c.machine.Take(node, sent)
		if !ok {
			continue
		}
		c.flying[node] = true
		requests := slices.Clone(batch.Requests)
		c.reach(node, func() {
			s := w.servers[node]
			s.expire(w.now)
			if _, known := s.epochs[c.index]; !known {
				c.receive(node, func() { c.rejoin(node) })
				return
			}
			if batch.Renew {
				s.epochs[c.index] = w.now.Add(c.machine.TTL)
			}
			answers := make([]Answer, len(requests))
			for i, r := range requests {
				answers[i] = s.carry(c.index, r, w.now)
			}
			for _, p := range s.pushes {
				if w.lossy && w.random.IntN(10) == 0 {
					continue
				}
				to := w.clients[p.to.session]
				to.receive(node, func() {
					to.machine.Turn(node, p.to.owner, p.slot, w.now)
					to.flush()
				})
			}
			s.pushes = nil
			c.receive(node, func() {
				c.flying[node] = false
				c.machine.Answer(node, answers, sent, w.now)
				c.flush()
			})
		})
	}
	for _, e := range slices.Clone(c.machine.Events()) {
		c.heard(e)
	}
	c.look()
	if next := c.machine.Next(); !next.IsZero() && (c.next.IsZero() || next.Before(c.next)) {
		c.next = next
		c.wake(max(0, next.Sub(w.now)), func() {
			c.next = time.Time{}
			c.machine.Attend(w.now)
			c.flush()
		})
	}
}

// begin sends what is asked for, or a heartbeat, unless a batch is under way.
func (c *client) begin() {
	if c.busy {
		return
	}
	c.busy, c.began = true, c.schedule.now
	c.apply, c.asked = c.asked, nil
	c.machine.Start(c.apply, c.began)
	c.flush()
	// The clock of Apply; the other nodes are waited for until it ticks.
	c.wake(10*time.Millisecond, func() { c.tick(c.began) })
}

func (c *client) tick(batch time.Time) {
	if c.busy && c.began.Equal(batch) {
		c.flush()
		c.wake(10*time.Millisecond, func() { c.tick(batch) })
	}
}

// look ends the batch when its answers are there.
func (c *client) look() {
	if !c.busy {
		return
	}
	over, _ := c.machine.Look(c.schedule.now, c.began.Add(c.machine.TTL/3))
	if !over {
		return
	}
	results, leases := c.machine.Finish(c.schedule.now)
	for _, l := range leases {
		if l.Err == nil {
			c.leased(l)
		}
	}
	for i, r := range slices.Clone(results) {
		c.answered(c.apply[i], r)
	}
	c.busy = false
	if len(c.asked) > 0 {
		c.begin()
	}
}

func (c *client) wish(owner uint64) *wish {
	for _, h := range c.owners {
		if h.owner == owner {
			return h
		}
	}
	return nil
}

func (c *client) op(do backend.Do, owner uint64) backend.Op {
	op := *acquire(backend.Mutex, c.schedule.limit, true)
	if c.schedule.limit > 1 {
		op.Class = backend.Semaphore
	}
	op.Do, op.Owner = do, owner
	return op
}

func (c *client) ask(do backend.Do, owner uint64) {
	c.asked = append(c.asked, c.op(do, owner))
	c.begin()
}

// leased takes what the client is told of a lease. One that is over stays so.
func (c *client) leased(l backend.Lease) {
	until, known := c.leases[l.ID]
	if !known || c.schedule.now.Before(until) && l.Until.After(until) {
		c.leases[l.ID] = l.Until
	}
}

// want has another owner acquire.
func (c *client) want() {
	c.last++
	c.owners = append(c.owners, &wish{client: c, owner: c.last, waits: true})
	c.schedule.changed(false)
	c.ask(backend.Acquire, c.last)
}

func (c *client) answered(op backend.Op, r backend.Result) {
	h := c.wish(op.Owner)
	switch {
	case op.Do == backend.Release && (r.State == backend.Released || r.State == backend.NotHeld):
		c.owners = slices.DeleteFunc(c.owners, func(o *wish) bool { return o == h })
		c.wake(time.Duration(c.schedule.random.Int64N(int64(2*time.Millisecond))), c.want)
	case op.Do == backend.Release:
		c.ask(backend.Release, op.Owner)
	case r.State == backend.Granted:
		c.granted(h, r.Grant)
	case r.State == backend.Queued:
	case r.State == backend.Unknown, r.State == backend.Refused:
		c.wake(10*time.Millisecond, func() { c.ask(backend.Acquire, op.Owner) })
	default:
		c.schedule.t.Fatalf("%+v", r)
	}
}

func (c *client) heard(e backend.Event) {
	h := c.wish(e.Owner)
	switch {
	case h == nil || h.leaving:
	case e.Kind == backend.EventGranted && h.granted:
		if h.holds() { // A move revives nothing.
			h.lease = e.Grant.Lease.ID
			c.leased(e.Grant.Lease)
		}
	case e.Kind == backend.EventGranted && h.waits:
		c.granted(h, e.Grant)
	case e.Kind == backend.EventLost && h.granted:
		h.granted, h.leaving = false, true
		c.ask(backend.Release, h.owner)
	case e.Kind == backend.EventTurn:
		c.ask(backend.Acquire, e.Owner)
	}
}

// granted checks what is promised of a grant.
func (c *client) granted(h *wish, g backend.Grant) {
	w := c.schedule
	if h.granted || h.leaving {
		return
	}
	h.waits, h.granted, h.lease = false, true, g.Lease.ID
	c.leased(g.Lease)
	w.grants++
	w.latest = w.now
	if !w.now.Before(g.Lease.Until) {
		w.t.Fatalf("granted %v after the end of the lease", w.now.Sub(g.Lease.Until))
	}
	if w.limit == 1 && g.Ordinal <= w.highest {
		w.t.Fatalf("token %d after %d", g.Ordinal, w.highest)
	}
	w.highest = max(w.highest, g.Ordinal)
	if n := w.count((*wish).holds); n > int(w.limit) {
		w.t.Fatalf("%d hold, and the limit is %d", n, w.limit)
	}
	w.changed(true)
	hold := time.Duration(w.random.Int64N(int64(3 * time.Millisecond)))
	if w.now.Before(w.wild) && w.random.IntN(8) == 0 {
		hold = time.Duration(w.random.Int64N(int64(2 * c.machine.TTL)))
	}
	c.wake(hold, func() {
		if h.leaving {
			return // It was lost.
		}
		h.granted, h.leaving = false, true
		w.changed(false)
		c.ask(backend.Release, h.owner)
	})
}

func (w *schedule) count(is func(*wish) bool) (n int) {
	for _, c := range w.clients {
		for _, h := range c.owners {
			if is(h) {
				n++
			}
		}
	}
	return n
}

// changed measures for how long there is room beside one who waits, and nobody is granted it.
func (w *schedule) changed(granted bool) {
	room := w.count((*wish).holds) < int(w.limit) && w.count(func(h *wish) bool { return h.waits }) > 0
	if !w.free.IsZero() {
		if d := w.now.Sub(w.free); d > w.longest {
			w.longest, w.until = d, w.now.Sub(w.began)
		}
	}
	switch {
	case !room:
		w.free = time.Time{}
	case w.free.IsZero() || granted:
		w.free = w.now
	}
}

type happening struct {
	at time.Time
	f  func()
}

type happenings []happening

func (q happenings) Len() int           { return len(q) }
func (q happenings) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q happenings) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *happenings) Push(x any)        { *q = append(*q, x.(happening)) }
func (q *happenings) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// TestSchedules: whatever is late, lost or silent, no more than the limit hold, tokens
// grow, and nobody waits for long beside a lock that is free.
func TestSchedules(t *testing.T) {
	var worst time.Duration
	grants := 0
	playAll(t, *scheduleCount, func(seed uint64) {
		w := play(t, seed)
		grants += w.grants
		worst = max(worst, w.longest)
		// A push that is lost is made good by the poll.
		if bound := map[bool]time.Duration{false: 400 * time.Millisecond, true: PollEvery + 400*time.Millisecond}[w.lossy]; w.longest > bound {
			t.Errorf("-vote.seed %d: for %v, until %v, somebody waited beside a free lock (%d nodes, %d clients, limit %d, lossy %v, silent %v)", seed, w.longest, w.until, len(w.servers), len(w.clients), w.limit, w.lossy, w.fell)
		}
		if w.grants < 20 {
			t.Errorf("-vote.seed %d: %d grants", seed, w.grants)
		}
	})
	t.Logf("%d grants, the longest wait beside a free lock %v", grants, worst)
}

// TestWildSchedules: likewise where nodes lose their data one at a time, and clients lose
// nodes and stand still for longer than their time to live. When all that is over everybody
// gets the lock again.
func TestWildSchedules(t *testing.T) {
	grants := 0
	playAll(t, max(1, *scheduleCount/4), func(seed uint64) { // They are longer.
		w := playWild(t, seed)
		grants += w.grants
		if quiet := w.now.Sub(w.latest); quiet > time.Second {
			t.Errorf("-vote.seed %d: nobody was granted anything for %v when the faults were over (%d nodes, %d clients, limit %d)", seed, quiet, len(w.servers), len(w.clients), w.limit)
		}
	})
	t.Logf("%d grants", grants)
}

// playAll plays schedules.
func playAll(t *testing.T, count int, play func(seed uint64)) {
	seed := rand.Uint64()
	if os.Getenv("DLOCK_LONG") != "" {
		count *= 200
	}
	if *scheduleSeed != 0 {
		seed, count = *scheduleSeed, 1
	}
	for i := range uint64(count) {
		func() {
			failed := t.Failed()
			defer func() {
				if t.Failed() && !failed {
					t.Logf("-vote.seed %d", seed+i)
				}
			}()
			play(seed + i)
		}()
	}
}

// begin returns a schedule whose clients have joined all nodes, and begin to want locks.
func begin(t *testing.T, seed uint64, ttl time.Duration) *schedule {
	random := rand.New(rand.NewPCG(seed, 0))
	w := &schedule{t: t, random: random, now: time.Unix(1_800_000_000, 0), limit: 1, lossy: random.IntN(3) == 0}
	if random.IntN(3) == 0 {
		w.limit += uint32(1 + random.IntN(2))
	}
	w.began = w.now
	nodes := 3 + 2*random.IntN(2)
	names := []string{"a", "b", "c", "d", "e"}[:nodes]
	for range nodes {
		w.servers = append(w.servers, newServer())
	}
	w.silent, w.held = make([]bool, nodes), make([][]func(), nodes)
	for i := range 2 + random.IntN(4) {
		c := &client{schedule: w, index: i, flying: make([]bool, nodes), runs: make([]int, nodes), cut: make([]bool, nodes), behind: make([][]func(), nodes), leases: make(map[uint32]time.Time)}
		ahead := time.Duration(random.Int64N(int64(time.Second)))
		c.machine = New(Config{TTL: ttl, Nodes: names, Doing: func(int) string { return "" }, Random: random, Ahead: ahead})
		w.clients = append(w.clients, c)
		for node, s := range w.servers {
			s.epochs[i] = w.now.Add(ttl)
			c.machine.Up(node, w.now, true, w.now)
		}
		for range 1 + random.IntN(2) {
			w.after(w.soon(), c.want)
		}
		var beat func()
		beat = func() {
			c.begin()
			c.wake(ttl/3, beat)
		}
		w.after(min(time.Second, ttl/3), beat)
	}
	return w
}

// run has happen what is to happen until a time.
func (w *schedule) run(d time.Duration) {
	for end := w.began.Add(d); len(w.coming) > 0 && w.coming[0].at.Before(end); {
		next := heap.Pop(&w.coming).(happening)
		w.now = next.at
		next.f()
	}
	w.changed(false)
}

// fall has a node fall silent for a while.
func (w *schedule) fall(node int, at, until time.Duration) {
	w.after(at, func() { w.silent[node] = true })
	w.after(until, func() {
		w.silent[node] = false
		for _, f := range w.held[node] {
			w.reach(node, f)
		}
		w.held[node] = nil
	})
}

func play(t *testing.T, seed uint64) *schedule {
	w := begin(t, seed, 10*time.Second)
	if w.random.IntN(5) > 0 { // A minority falls silent for a while.
		w.fell = time.Duration(w.random.Int64N(int64(500 * time.Millisecond)))
		w.fall(w.random.IntN(len(w.servers)), w.fell, 2800*time.Millisecond)
	}
	w.run(3 * time.Second)
	return w
}

func playWild(t *testing.T, seed uint64) *schedule {
	const ttl, faults = time.Second, 8 * time.Second
	w := begin(t, seed, ttl)
	w.wild = w.now.Add(faults)
	moment := func() time.Duration { return time.Duration(w.random.Int64N(int64(faults))) }
	for range w.random.IntN(3) {
		at := moment()
		w.fall(w.random.IntN(len(w.servers)), at, at+time.Duration(w.random.Int64N(int64(2*ttl))))
	}
	// While one has forgotten, no other one may.
	for at := moment(); at < faults; at += 2*ttl + moment() {
		node := w.random.IntN(len(w.servers))
		w.after(at, func() { w.servers[node].restart(ttl, w.now) })
	}
	for _, c := range w.clients {
		for range w.random.IntN(4) {
			node := w.random.IntN(len(w.servers))
			at := moment()
			w.after(at, func() { c.cut[node] = true })
			w.after(at+time.Duration(w.random.Int64N(int64(2*ttl))), func() {
				c.cut[node] = false
				behind := c.behind[node]
				c.behind[node] = nil
				for _, f := range behind {
					f()
				}
			})
		}
		for range w.random.IntN(2) {
			pause := time.Duration(w.random.Int64N(int64(2 * ttl)))
			w.after(moment(), func() { c.asleep = w.now.Add(pause) })
		}
	}
	w.run(faults + 8*ttl)
	return w
}
