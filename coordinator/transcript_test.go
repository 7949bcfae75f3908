package coordinator_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
	"github.com/dlock-go/dlock/internal/transcript"
)

// TestTranscripts replays the conversations in testdata with a machine.
func TestTranscripts(t *testing.T) {
	transcript.Replay(t, func(log *transcript.Log) func([]string) {
		k := &talk{
			Log:     log,
			caps:    backend.Caps{Contended: true},
			handoff: 5 * time.Millisecond,
			now:     time.Now(),
			claims:  make(map[string]*coordinator.Claim),
			names:   make(map[*coordinator.Claim]string),
			ops:     make(map[string]backend.Op),
		}
		return k.do
	})
}

// A talk is a conversation with a machine.
type talk struct {
	*transcript.Log
	caps    backend.Caps
	handoff time.Duration
	machine *coordinator.Machine
	now     time.Time
	claims  map[string]*coordinator.Claim
	names   map[*coordinator.Claim]string
	ops     map[string]backend.Op // acquires by owner, releases by owner and "-"
}

// do tells the machine one line.
func (k *talk) do(words []string) {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	if k.machine == nil && words[0] != "with" {
		k.machine = coordinator.NewMachine(k.caps, k.handoff)
	}
	switch words[0] {
	case "with":
		switch words[1] {
		case "handoff":
			k.handoff, _ = time.ParseDuration(words[2])
		case "silent": // The store does not tell whether somebody waits.
			k.caps.Contended = false
		}
	case "wait":
		d, _ := time.ParseDuration(words[1])
		k.now = k.now.Add(d)
	case "lock", "try", "write", "trywrite", "read", "tryread", "ticket", "tryticket":
		k.submit(words[0], words[1], words[2], arg(3))
	case "release":
		k.machine.Release(k.claims[words[1]], k.now)
	case "cancel":
		k.machine.Cancel(k.claims[words[1]], k.now)
	case "batch":
		for _, op := range k.machine.Batch(nil, k.now) {
			k.op(op)
		}
	case "granted", "queued", "busy", "failed", "released", "notheld":
		k.answer(words[0], words[1], words[2:])
	case "event":
		kind := map[string]backend.EventKind{
			"granted": backend.EventGranted, "turn": backend.EventTurn,
			"lost": backend.EventLost, "contended": backend.EventContended,
		}[words[1]]
		k.machine.Heard([]backend.Event{{Kind: kind, Owner: k.ops[words[2]].Owner, Grant: grant(words[3:])}}, k.now)
	case "lapsed":
		id, _ := strconv.Atoi(words[1])
		k.machine.Lapsed(uint32(id))
	case "down":
		unsure := make(map[uint64]bool)
		for _, w := range words[1:] {
			unsure[k.ops[w].Owner] = true
		}
		k.machine.Down(errors.New("session cut"), unsure)
	case "unreachable":
		why := errors.New("connection refused")
		if len(words) > 1 {
			why = backend.ErrDenied
		}
		k.machine.Unreachable(why)
	case "overdue":
		k.Printf("impatient: %v", k.machine.Overdue(k.now, errors.New("silence")))
	case "close":
		k.machine.Close()
	case "state":
		k.Printf("empty: %v, pending: %v, waiting: %d, awaiting: %v",
			k.machine.Empty(), k.machine.Pending(), k.machine.Waiting(), k.machine.Awaiting())
	default:
		k.Printf("what is %q?", words[0])
	}
	for _, e := range k.effects() {
		k.effect(e)
	}
}

func (k *talk) effects() []coordinator.Effect {
	if k.machine == nil {
		return nil
	}
	return effects(k.machine)
}

// effects returns what a machine has to tell, and has it forget that.
func effects(m *coordinator.Machine) []coordinator.Effect {
	e := slices.Clone(m.Effects())
	m.Told()
	return e
}

func (k *talk) submit(verb, who, name, limit string) {
	class, mode, n := backend.Mutex, backend.Exclusive, 1
	switch strings.TrimPrefix(verb, "try") {
	case "write":
		class = backend.RWMutex
	case "read":
		class, mode = backend.RWMutex, backend.Shared
	case "ticket":
		class = backend.Semaphore
		n, _ = strconv.Atoi(limit)
	}
	c := coordinator.NewClaim(class, name, uint32(n), mode, strings.HasPrefix(verb, "try"))
	k.claims[who], k.names[c] = c, who
	k.machine.Submit(c, k.now)
}

func (k *talk) op(op backend.Op) {
	id := fmt.Sprint("#", op.Owner)
	if op.Do == backend.Release {
		k.ops[id+"-"] = op
		k.Printf("release %s", id)
		return
	}
	k.ops[id] = op
	mode, wait := "", ""
	if op.Mode == backend.Shared {
		mode = " shared"
	}
	if op.Wait {
		wait = " wait"
	}
	k.Printf("acquire %s %v %s%s%s", id, op.Class, op.Name, mode, wait)
}

func (k *talk) answer(state, id string, rest []string) {
	op := k.ops[id]
	r := backend.Result{Grant: grant(rest)}
	switch state {
	case "granted":
		r.State = backend.Granted
	case "queued":
		r.State = backend.Queued
	case "busy":
		r.State = backend.Busy
	case "failed":
		r.State, r.Err = backend.Failed, errors.New("disk full")
	case "released":
		op = k.ops[id+"-"]
		r.State = backend.Released
	case "notheld":
		op = k.ops[id+"-"]
		r.State = backend.NotHeld
	}
	k.machine.Answered([]backend.Op{op}, []backend.Result{r}, k.now)
}

func grant(words []string) (g backend.Grant) {
	for _, w := range words {
		if id, ok := strings.CutPrefix(w, "lease="); ok {
			n, _ := strconv.Atoi(id)
			g.Lease.ID = uint32(n)
		} else if w == "contended" {
			g.Contended = true
		} else {
			g.Ordinal, _ = strconv.ParseUint(w, 10, 64)
		}
	}
	return g
}

func (k *talk) effect(e coordinator.Effect) {
	who := k.names[e.Claim]
	switch e.Kind {
	case coordinator.Grant:
		k.Printf("%s holds, token %d.%d", who, e.Token>>12, e.Token&0xfff)
	case coordinator.Refuse:
		k.Printf("%s is refused: %v", who, e.Err)
	case coordinator.Freed:
		if e.Err != nil {
			k.Printf("%s is free, not confirmed: %v", who, e.Err)
		} else {
			k.Printf("%s is free", who)
		}
	case coordinator.Move:
		k.Printf("%s moves to lease %d", who, e.Lease.ID)
	case coordinator.End:
		k.Printf("%s loses: %v", who, e.Err)
	case coordinator.Missed:
		k.Printf("%s had lost: %v", who, e.Err)
	}
}
