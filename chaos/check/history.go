// Package check holds what happened in a run against what the store promises.
package check

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/journal"
	"github.com/dlock-go/dlock/chaos/register"
)

// A Promise is what a store is held to. It is named before the run.
type Promise struct {
	Caps   backend.Caps
	Leased bool // holds have deadlines
	Disk   bool // grants wait for the disk

	Unordered string // 6: why no order is claimed, where none is

	Single bool // 6: a session has one place in the queue of a name; who asks behind it has none of his own yet

	Turns Turns // 4, 6: how many writers in a row pass a waiting reader

	Passed int // 17: by how many later ones somebody is passed at most, where there is no order

	Unseen time.Duration // 6: who was told to wait so late may not stand in the queue yet; 0: that is always known
	Kept   time.Duration // 13: for how long the store may keep a lock for somebody who is gone
	Woken  time.Duration // 7: from a release to the grant of who waited
	Signal time.Duration // 8: from a loss to its signal, where no deadline is sooner
	Killed time.Duration // 9: from the death of a holder to the grant of who waited
}

// Turns is how many writers in a row there are, at least and at most, before readers
// have a turn who wait, while other writers wait too.
type Turns struct{ Least, Most int }

// A Run is what there is to check.
type Run struct {
	Promise   Promise
	Class     backend.Class
	Limit     int
	TTL       time.Duration
	Names     int // that the workers used, without the one for crowds
	Begin     int64
	Calm      int64         // when the first fault could come
	Over      int64         // when the last fault was undone
	Patience  time.Duration // 12: within which every name must be had after the faults
	Drain     int64         // when the workers were told to come to an end
	Processes []*Process
	Faults    []*fault.Event
	Stalls    []Stall  // of the controller, which is as good as the machine's, and of the disk
	Leaks     []string // that the store found in itself after the drain
	Registers []Registers
}

// A Stall is a time in which a process that had something to do did not run.
type Stall struct{ From, To int64 }

// Registers are what became of the registers of a name.
type Registers struct{ Fenced, Plain register.Count }

// A Process is one worker process.
type Process struct {
	Slot    int
	Prober  bool
	Handoff time.Duration // for how long it may hand a lock on while others wait
	Begin   int64
	Killed  int64 // when it was sent SIGKILL, or 0
	Failed  string
	Records []journal.Record

	stalls []span // in which it did not run
}

type span struct{ from, to int64 }

const never = math.MaxInt64

// A Hold is one holding of a lock, or the attempt to get it.
type Hold struct {
	process *Process
	client  int64
	op      int64
	name    int
	mode    backend.Mode
	try     bool
	wait    int64 // how long it would wait

	call    int64 // before the call
	granted int64 // after it, or 0
	failed  int64 // after it, or 0
	why     string
	token   uint64

	session, owner int64
	deadline       int64 // the last one it had, or never
	signal         int64 // when it was being told that it is lost, or never
	lost           int64 // when it saw that, or never
	release        int64 // before the call of Release, or never
	released       int64 // after it, or never
	confirmed      bool  // without an error
	error          string
	overdue        bool

	end int64 // when it stopped to hold, for all that it knew; see settle
}

// exclusive reports whether nobody else may hold with it.
func (h *Hold) exclusive(c backend.Class) bool {
	return c == backend.Mutex || c == backend.RWMutex && h.mode == backend.Exclusive
}

// waited is when it stopped to wait.
func (h *Hold) waited() int64 {
	switch {
	case h.granted != 0:
		return h.granted
	case h.failed != 0:
		return h.failed
	case h.process.Killed != 0:
		return h.process.Killed
	}
	return never
}

// A history is a run in order.
type history struct {
	*Run
	holds []*Hold   // all attempts, by call
	names [][]*Hold // of each name those that were granted, by grant
	waits [][]*Hold // of each name all attempts, by call
	stays []*stay   // at the store, by when they were asked for

	byName [][]*stay        // those of each name
	left   map[*Process]int // locks of the dead that went to who waited
	kills  []killed         // by time
	seen   map[int]int      // most places at the store, by name
	crowd  int              // the most of one client that waited for one name at once

	present [][64][]span // of each name, by slot; see presence
	stood   [][]span     // when the worker of a slot stood still
	machine []span       // when the machine did
}

type killed struct {
	at      int64
	process *Process
}

// A stay is what a session's owner saw of the store.
type stay struct {
	process *Process
	session int64
	owner   int64
	name    int
	mode    backend.Mode
	wait    bool
	behind  bool // another one of its session waited for the same when it asked
	asked   int64
	since   int64 // when the first one asked whose place it may have taken over
	queued  int64 // when it was known to wait at the store, or never
	taken   int64 // when it was granted, or never
	left    int64 // when it was withdrawn, refused, or its session died, or never
	gone    int64 // when the store had said so, or the lease of its session was over, or never
	granted int64 // when the store was known to have granted it, even if too late
	ordinal uint64
}

type sessionKey struct {
	process *Process
	session int64
	n       int64
}

func newHistory(r *Run) *history {
	h := &history{
		Run:   r,
		names: make([][]*Hold, r.Names+1),
		waits: make([][]*Hold, r.Names+1),
		seen:  make(map[int]int),
		left:  make(map[*Process]int),
	}
	for _, p := range r.Processes {
		readJournal(h, p)
	}
	slices.SortStableFunc(h.holds, func(a, b *Hold) int { return cmp.Compare(a.call, b.call) })
	for _, hold := range h.holds {
		h.waits[hold.name] = append(h.waits[hold.name], hold)
		if hold.granted != 0 {
			h.names[hold.name] = append(h.names[hold.name], hold)
		}
	}
	for _, holds := range h.names {
		slices.SortStableFunc(holds, func(a, b *Hold) int { return cmp.Compare(a.granted, b.granted) })
	}
	slices.SortStableFunc(h.stays, func(a, b *stay) int { return cmp.Compare(a.asked, b.asked) })
	h.lineUp()
	h.byName = h.stayed()
	h.presence()
	slices.SortFunc(h.kills, func(a, b killed) int { return cmp.Compare(a.at, b.at) })
	return h
}

// lineUp finds out who asked behind another one of the same session.
func (h *history) lineUp() {
	type line struct {
		process *Process
		session int64
		name    int
		mode    backend.Mode
	}
	until := make(map[line]int64)
	last := make(map[line]*stay)
	for _, s := range h.stays {
		l := line{s.process, s.session, s.name, s.mode}
		s.behind = until[l] > s.asked
		s.since = s.asked
		if before := last[l]; before != nil && before.gone >= s.asked {
			s.since = before.since // It may have the place that this one had given up.
		}
		last[l] = s
		if s.wait {
			until[l] = max(until[l], min(s.taken, s.left))
		}
	}
}

// settle works out when a hold ended for its holder: with its release, with the
// loss signal, with its deadline, or with its process, whatever came first. A
// process that stands still acts no more than a dead one, but it may have begun
// to; so only its deadline, if it has one, ends its hold.
func (h *Hold) settle() {
	if h.granted == 0 {
		return
	}
	h.end = min(h.release, h.signal, h.lost, h.deadline)
	if h.process.Killed != 0 {
		h.end = min(h.end, h.process.Killed)
	}
}

// forgotten is for how long after the end of a session the store may keep what it had.
func (h *history) forgotten() int64 { return int64(h.TTL + h.Promise.Killed) }
