package vote

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/internal/transcript"
)

// TestTranscripts replays the conversations in testdata between a session, a machine and
// three nodes.
func TestTranscripts(t *testing.T) {
	transcript.Replay(t, func(log *transcript.Log) func([]string) {
		k := &talk{Log: log, now: time.Unix(1_800_000_000, 0), sent: make(map[string]Batch), at: make(map[string]time.Time)}
		k.began = k.now
		k.machine = New(Config{TTL: 9 * time.Second, Nodes: nodes, Doing: func(int) string { return "dialing" }, Random: rand.New(rand.NewPCG(1, 2))})
		return func(words []string) {
			k.do(words)
			k.effects()
		}
	})
}

// A talk is a conversation with a machine.
type talk struct {
	*transcript.Log
	machine *Machine
	now     time.Time
	began   time.Time
	ops     []backend.Op // of the Apply that is under way
	busy    bool
	sent    map[string]Batch
	at      map[string]time.Time
	tokens  []uint64 // in the order in which they were seen
}

var nodes = []string{"a", "b", "c"}

// do tells the machine one line.
func (k *talk) do(words []string) {
	node, rest := slices.Index(nodes, words[0]), words[1:]
	switch {
	case node >= 0 && rest[0] == "up":
		k.machine.Up(node, k.now, true, k.now)
	case node >= 0 && rest[0] == "back": // The node knows the session still.
		k.machine.Up(node, k.now, false, k.now)
	case node >= 0 && rest[0] == "down":
		k.machine.Down(node, errors.New("connection refused"), false, k.now)
	case node >= 0 && rest[0] == "restarted":
		k.machine.Over(node, Restarted, k.now)
	case node >= 0 && rest[0] == "flushed":
		k.machine.Over(node, Flushed, k.now)
	case node >= 0 && rest[0] == "turn":
		owner, _ := strconv.ParseUint(rest[1], 10, 64)
		k.machine.Turn(node, owner, NoSlot, k.now)
	case node >= 0:
		k.answer(node, rest)
	case words[0] == "wait":
		d, _ := time.ParseDuration(rest[0])
		for end := k.now.Add(d); ; {
			next := k.machine.Next()
			if k.now = end; next.IsZero() || next.After(end) {
				break
			}
			k.now = next
			k.machine.Attend(k.now)
			k.effects()
		}
	case words[0] == "beat":
		k.start(nil)
	default:
		k.start(k.parse(words))
	}
}

func (k *talk) start(ops []backend.Op) {
	k.ops, k.busy, k.began = ops, true, k.now
	k.machine.Start(k.ops, k.now)
}

// parse reads ops: what is to be done, for whom, the name of the lock, and more of each.
func (k *talk) parse(words []string) (ops []backend.Op) {
	for text := range strings.SplitSeq(strings.Join(words, " "), ", ") {
		words := strings.Fields(text)
		op := backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Name: words[2]}
		op.Owner, _ = strconv.ParseUint(words[1], 10, 64)
		for _, more := range words[3:] {
			switch {
			case more == "wait":
				op.Wait = true
			case strings.HasPrefix(more, "of"):
				n, _ := strconv.Atoi(more[len("of"):])
				op.Class, op.Limit = backend.Semaphore, uint32(n)
			}
		}
		if words[0] == "release" {
			op.Do = backend.Release
		}
		ops = append(ops, op)
	}
	return ops
}

// answer has a node answer what it was sent.
func (k *talk) answer(node int, words []string) {
	batch, ok := k.sent[nodes[node]]
	if !ok {
		k.Printf("%s was asked for nothing", nodes[node])
		return
	}
	delete(k.sent, nodes[node])
	answers := make([]Answer, len(batch.Requests))
	for i, r := range batch.Requests {
		w := Answer{Word: map[string]Word{"given": Given, "low": Low, "busy": Busy, "reserved": Reserved, "withheld": Withheld, "gone": Gone, "freed": Freed, "doubted": Doubted}[words[min(i, len(words)-1)]]}
		switch w.Word {
		case Failed:
			w.Err = errors.New("disk full")
		case Low:
			w.Number = r.Token + 1000
		case Busy:
			w.Rivals = []Rival{{r.Slot, "rival"}}
		case Withheld:
			w.Wait = time.Second
		case Freed:
			w.Flag = true
		}
		answers[i] = w
	}
	k.machine.Answer(node, answers, k.at[nodes[node]], k.now)
}

// effects tells what the machine wants: it sends to the nodes that have no batch on its
// way, and ends the Apply that is under way.
func (k *talk) effects() {
	for range 2 { // What the look decides may be to send something.
		if k.busy {
			if over, _ := k.machine.Look(k.now, k.began.Add(k.machine.TTL/3)); over {
				k.busy = false
				k.finish()
			}
		}
		for i, name := range nodes {
			if _, under := k.sent[name]; under || k.machine.nodes[i].state != nodeUp {
				continue
			}
			if b, ok := k.machine.Take(i, k.now); ok {
				b.Requests = slices.Clone(b.Requests)
				k.sent[name], k.at[name] = b, k.now
				k.batch(name, b)
			}
		}
	}
	k.machine.Effects()
	for _, e := range k.machine.Events() {
		switch e.Kind {
		case backend.EventGranted:
			k.Printf("event: %d holds, token %s, lease %d until %v", e.Owner, k.token(e.Grant.Ordinal), e.Grant.Lease.ID, k.since(e.Grant.Lease.Until))
		case backend.EventTurn:
			k.Printf("event: turn of %d", e.Owner)
		case backend.EventLost:
			k.Printf("event: %d has lost: %v", e.Owner, e.Err)
		case backend.EventContended:
			k.Printf("event: %d is contended", e.Owner)
		case backend.EventNotice:
			k.Printf("notice: %v", e.Err)
		}
	}
}

// since is a time since the conversation began.
func (k *talk) since(t time.Time) time.Duration {
	return t.Sub(time.Unix(1_800_000_000, 0)).Round(time.Millisecond)
}

// token names a token by its place among those that were seen.
func (k *talk) token(n uint64) string {
	i := slices.Index(k.tokens, n)
	if i < 0 {
		i = len(k.tokens)
		k.tokens = append(k.tokens, n)
	}
	return fmt.Sprint("t", i+1)
}

func (k *talk) batch(node string, b Batch) {
	var all []string
	if b.Renew {
		all = append(all, "renew")
	}
	for _, r := range b.Requests {
		text := map[Kind]string{AskVote: "vote", AskAgain: "again", AskRelease: "release", AskYield: "yield", AskCheck: "check"}[r.Kind]
		text += fmt.Sprint(" ", r.Op().Owner)
		if r.Kind != AskRelease && r.Kind != AskYield {
			text += " " + k.token(r.Token)
		}
		if r.Op().Class == backend.Semaphore {
			text += fmt.Sprint(" slot ", r.Slot)
		}
		if r.Flag {
			text += map[Kind]string{AskVote: " wait", AskAgain: " confirmed", AskRelease: " held", AskYield: " nobody won"}[r.Kind]
		}
		all = append(all, text)
	}
	k.Printf("-> %s: %s", node, strings.Join(all, ", "))
}

var states = map[backend.State]string{
	backend.Granted: "granted", backend.Queued: "queued", backend.Busy: "busy", backend.Released: "released", backend.NotHeld: "not held",
	backend.Unknown: "unknown", backend.Refused: "refused", backend.Failed: "failed",
}

func (k *talk) finish() {
	results, leases := k.machine.Finish(k.now)
	for i, r := range results {
		text := states[r.State]
		switch {
		case r.State == backend.Granted:
			text += fmt.Sprintf(", token %s, lease %d until %v", k.token(r.Grant.Ordinal), r.Grant.Lease.ID, k.since(r.Grant.Lease.Until))
		case r.Err != nil:
			text += ": " + strings.ReplaceAll(r.Err.Error(), "\n", "; ")
		}
		k.Printf("%d: %s", k.ops[i].Owner, text)
	}
	slices.SortFunc(leases, func(x, y backend.Lease) int { return cmp.Compare(x.ID, y.ID) })
	for _, l := range leases {
		if l.Err != nil {
			k.Printf("lease %d ends at %v: %v", l.ID, k.since(l.Until), l.Err)
			continue
		}
		k.Printf("lease %d until %v", l.ID, k.since(l.Until))
	}
}
