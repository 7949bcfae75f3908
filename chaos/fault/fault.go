// Package fault is what can be done to the processes of a run, and the plan, made
// from a seed, of what is done to them and when.
package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/dlock-go/dlock/chaos/journal"
)

// A Kind is one thing that can go wrong. Its bounds are named before a run, and
// what happens is held against them.
type Kind struct {
	Name string

	// Target is what it works on. Two faults of one target are never on at the
	// same time.
	Target Target

	// Overlap is for how long, because of it, two may believe that they hold what
	// only one can: 0 for nearly everything.
	Overlap time.Duration

	// Recovery is for how long after its end waits may be longer than usual.
	Recovery time.Duration

	// Takes says that it takes the locks away that were held, of the worker or the
	// name that it happened to, or of all.
	Takes bool

	// Alone says that its consequences can only be judged when no other fault's are in
	// the way: it comes neither with another nor soon after or before.
	Alone bool

	// Early says that it comes in every run that is long enough, after those that come
	// alone.
	Early bool

	// Inject does it, keeps it up for as long as it likes, and undoes it, early
	// when ctx ends.
	Inject func(ctx context.Context, x *Injection) error
}

// A Target is a part of a run.
type Target string

// The targets.
const (
	Worker  Target = "worker"  // one worker process
	Server  Target = "server"  // the store's servers, their data, their clocks
	Network Target = "network" // between the workers and the servers
)

// Workers are the worker processes of a run, by slot.
type Workers interface {
	// Kill ends a worker with SIGKILL; another takes its slot at once.
	Kill(slot int)
	// Stop and Continue send SIGSTOP and SIGCONT. Continue is harmless when the
	// worker was not stopped, or has been replaced.
	Stop(slot int)
	Continue(slot int)
	// Slot returns that of the worker with that process number, or -1.
	Slot(pid int) int
}

// An Injection is one fault as it happens.
type Injection struct {
	Rand    *rand.Rand
	TTL     time.Duration
	Slots   int // workers
	Names   int // locks
	Workers Workers

	event *Event
	mu    *sync.Mutex
}

// Slot chooses a worker and notes down that it is the one.
func (x *Injection) Slot() int {
	slot := x.Rand.IntN(x.Slots)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.event.Slot = slot
	return slot
}

// Minor notes down that it happens to so small a part of the store that it has to bear that.
func (x *Injection) Minor() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.event.Minor = true
}

// Of notes down that it is the worker with that process number that it happens to, if
// there is one.
func (x *Injection) Of(pid int) {
	slot := x.Workers.Slot(pid)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.event.Slot = slot
}

// Name chooses a lock and notes down that it is the one.
func (x *Injection) Name() int {
	name := x.Rand.IntN(x.Names)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.event.Lock = name
	return name
}

// Note tells people more about the fault.
func (x *Injection) Note(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.event.Note != "" {
		x.event.Note += "; "
	}
	x.event.Note += fmt.Sprintf(format, args...)
}

// Did says what the fault is known to have done, which nobody else may notice.
func (x *Injection) Did(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.event.Did = fmt.Sprintf(format, args...)
}

// Stretch chooses a duration between two multiples of the TTL.
func (x *Injection) Stretch(least, most float64) time.Duration {
	return time.Duration((least + x.Rand.Float64()*(most-least)) * float64(x.TTL))
}

// Wait waits, if ctx does not end before.
func (x *Injection) Wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// An Event is a fault that has happened.
type Event struct {
	Kind       string
	Target     Target
	Begin, End int64 // on the journal's clock
	Overlap    time.Duration
	Recovery   time.Duration
	Takes      bool
	Slot       int  // of the worker that it happened to, or -1
	Lock       int  // the name that it happened to, or -1
	Minor      bool // of the store, but of so small a part of it that it has to bear that
	Note       string
	Did        string // what it is known to have done, or ""
	Effect     string // what came of it; "" when nothing was seen
}

// Over is when waits are as long as usual again.
func (e *Event) Over() int64 { return e.End + int64(e.Recovery) }

// Touches reports whether the fault may bear on what happens between from and to.
func (e *Event) Touches(from, to int64) bool { return e.Begin <= to && from <= e.Over() }

// Process faults, which every store with several processes knows.

// Kill is the death of a worker, which another replaces.
func Kill(free time.Duration) Kind {
	return Kind{
		Name:     "kill worker",
		Target:   Worker,
		Recovery: free,
		Alone:    true,
		Inject: func(_ context.Context, x *Injection) error {
			x.Workers.Kill(x.Slot())
			return nil
		},
	}
}

// Stop is a worker that stands still for 0.5 to 3 TTLs and goes on as if nothing
// had been.
func Stop(recovery time.Duration) Kind {
	return Kind{
		Name:     "stop worker",
		Target:   Worker,
		Recovery: recovery,
		Inject: func(ctx context.Context, x *Injection) error {
			slot, d := x.Slot(), x.Stretch(0.5, 3)
			x.Note("for %v", d.Round(time.Millisecond))
			x.Workers.Stop(slot)
			x.Wait(ctx, d)
			x.Workers.Continue(slot)
			return nil
		},
	}
}

// Select returns the kinds that a list of names selects: all for "", else those
// whose names have one of the words in them.
func Select(kinds []Kind, list string) []Kind {
	if list == "" {
		return kinds
	}
	var selected []Kind
	for _, k := range kinds {
		for word := range strings.SplitSeq(list, ",") {
			if strings.Contains(k.Name, strings.TrimSpace(word)) {
				selected = append(selected, k)
				break
			}
		}
	}
	return selected
}

func begin(k *Kind) *Event {
	return &Event{
		Kind: k.Name, Target: k.Target, Begin: journal.Now(),
		Overlap: k.Overlap, Recovery: k.Recovery, Takes: k.Takes, Slot: -1, Lock: -1,
	}
}
