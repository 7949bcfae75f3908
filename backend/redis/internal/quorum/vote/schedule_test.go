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
	scheduleCount = flag.Int("vote.schedules", 16, "how many schedules TestSchedules plays, and 200 times as many with DLOCK_LONG in the environment")
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
}

// A client drives a machine as a session does, for owners that acquire and release.
type client struct {
	schedule *schedule
	index    int
	machine  *Machine
	flying   []bool // by node: a batch is on its way
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
	owner   uint64
	waits   bool
	holds   bool
	leaving bool
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
		w.reach(node, func() {
			s := w.servers[node]
			answers := make([]Answer, len(requests))
			for i, r := range requests {
				answers[i] = s.carry(c.index, r, w.now)
			}
			for _, p := range s.pushes {
				if w.lossy && w.random.IntN(10) == 0 {
					continue
				}
				to := w.clients[p.to.session]
				w.after(w.soon(), func() {
					to.machine.Turn(node, p.to.owner, p.slot, w.now)
					to.flush()
				})
			}
			s.pushes = nil
			w.after(w.soon(), func() {
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
		w.after(max(0, next.Sub(w.now)), func() {
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
	c.schedule.after(10*time.Millisecond, func() { c.tick(c.began) })
}

func (c *client) tick(batch time.Time) {
	if c.busy && c.began.Equal(batch) {
		c.flush()
		c.schedule.after(10*time.Millisecond, func() { c.tick(batch) })
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
	c.busy = false
	results, _ := c.machine.Finish(c.schedule.now)
	for i, r := range slices.Clone(results) {
		c.answered(c.apply[i], r)
	}
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

// want has another owner acquire.
func (c *client) want() {
	c.last++
	c.owners = append(c.owners, &wish{owner: c.last, waits: true})
	c.schedule.changed(false)
	c.ask(backend.Acquire, c.last)
}

func (c *client) answered(op backend.Op, r backend.Result) {
	h := c.wish(op.Owner)
	switch {
	case op.Do == backend.Release && (r.State == backend.Released || r.State == backend.NotHeld):
		c.owners = slices.DeleteFunc(c.owners, func(o *wish) bool { return o == h })
		c.schedule.after(time.Duration(c.schedule.random.Int64N(int64(2*time.Millisecond))), c.want)
	case op.Do == backend.Release:
		c.ask(backend.Release, op.Owner)
	case r.State == backend.Granted:
		c.granted(h, r.Grant)
	case r.State == backend.Queued:
	case r.State == backend.Unknown, r.State == backend.Refused:
		c.schedule.after(10*time.Millisecond, func() { c.ask(backend.Acquire, op.Owner) })
	default:
		c.schedule.t.Fatalf("%+v", r)
	}
}

func (c *client) heard(e backend.Event) {
	h := c.wish(e.Owner)
	switch {
	case h == nil || h.leaving:
	case e.Kind == backend.EventGranted && h.waits:
		c.granted(h, e.Grant)
	case e.Kind == backend.EventTurn:
		c.ask(backend.Acquire, e.Owner)
	}
}

// granted checks what is promised of a grant.
func (c *client) granted(h *wish, g backend.Grant) {
	w := c.schedule
	if h.holds || h.leaving {
		return
	}
	h.waits, h.holds = false, true
	w.grants++
	if !w.now.Before(g.Lease.Until) {
		w.t.Fatalf("granted %v after the end of the lease", w.now.Sub(g.Lease.Until))
	}
	if w.limit == 1 && g.Ordinal <= w.highest {
		w.t.Fatalf("token %d after %d", g.Ordinal, w.highest)
	}
	w.highest = max(w.highest, g.Ordinal)
	if n := w.count(func(h *wish) bool { return h.holds }); n > int(w.limit) {
		w.t.Fatalf("%d hold, and the limit is %d", n, w.limit)
	}
	w.changed(true)
	w.after(time.Duration(w.random.Int64N(int64(3*time.Millisecond))), func() {
		h.holds, h.leaving = false, true
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
	room := w.count(func(h *wish) bool { return h.holds }) < int(w.limit) && w.count(func(h *wish) bool { return h.waits }) > 0
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
	seed, count := rand.Uint64(), *scheduleCount
	if os.Getenv("DLOCK_LONG") != "" {
		count *= 200
	}
	if *scheduleSeed != 0 {
		seed, count = *scheduleSeed, 1
	}
	var worst time.Duration
	grants := 0
	for i := range uint64(count) {
		w := play(t, seed+i)
		grants += w.grants
		worst = max(worst, w.longest)
		// A push that is lost is made good by the poll.
		if bound := map[bool]time.Duration{false: 400 * time.Millisecond, true: PollEvery + 400*time.Millisecond}[w.lossy]; w.longest > bound {
			t.Errorf("-vote.seed %d: for %v, until %v, somebody waited beside a free lock (%d nodes, %d clients, limit %d, lossy %v, silent %v)", seed+i, w.longest, w.until, len(w.servers), len(w.clients), w.limit, w.lossy, w.fell)
		}
		if w.grants < 20 {
			t.Errorf("-vote.seed %d: %d grants", seed+i, w.grants)
		}
	}
	t.Logf("%d grants, the longest wait beside a free lock %v", grants, worst)
}

func play(t *testing.T, seed uint64) *schedule {
	defer func() {
		if t.Failed() {
			t.Logf("-vote.seed %d", seed)
		}
	}()
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
		c := &client{schedule: w, index: i, flying: make([]bool, nodes)}
		c.machine = New(Config{TTL: 10 * time.Second, Nodes: names, Doing: func(int) string { return "" }, Random: random})
		w.clients = append(w.clients, c)
		for node := range nodes {
			c.machine.Up(node, w.now, true, w.now)
		}
		for range 1 + random.IntN(2) {
			w.after(w.soon(), c.want)
		}
		var beat func()
		beat = func() {
			c.begin()
			w.after(c.machine.TTL/3, beat)
		}
		w.after(time.Second, beat)
	}
	if random.IntN(5) > 0 { // A minority falls silent for a while.
		node := random.IntN(nodes)
		w.fell = time.Duration(random.Int64N(int64(500 * time.Millisecond)))
		w.after(w.fell, func() { w.silent[node] = true })
		w.after(2800*time.Millisecond, func() {
			w.silent[node] = false
			for _, f := range w.held[node] {
				w.reach(node, f)
			}
			w.held[node] = nil
		})
	}
	for end := w.now.Add(3 * time.Second); len(w.coming) > 0 && w.coming[0].at.Before(end); {
		next := heap.Pop(&w.coming).(happening)
		w.now = next.at
		next.f()
	}
	w.changed(false)
	return w
}
