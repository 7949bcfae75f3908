package vote

import (
	"hash/fnv"
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
	"github.com/dlock-go/dlock/internal/chain"
)

// An acquisition is one owner's way to a lock: it asks all nodes for their votes, and
// holds when a majority has given it theirs for one token.
type acquisition struct {
	op     backend.Op
	lock   string // as the nodes call it
	bucket string
	ticket uint64 // by which nodes order those who wait
	state  state

	// Of the attempt.
	token  uint64    // that it asks for
	slot   uint32    // of a semaphore
	votes  []vote    // by node
	round  int       // answers of earlier rounds say nothing any more
	raised int       // tokens refused in this round
	shifts int       // slots tried in this round
	splits int       // rounds in a row that nobody has won
	due    time.Time // when it is to be looked at again
	gather time.Time // until when other nodes may tell of a release by themselves
	polled time.Time // when all nodes were asked last

	stays     bool // it waits for a moment with the votes that it has
	enlisted  bool // a majority knows that it waits
	stuck     bool // too few nodes can be reached to decide, or answer; refusal may tell why
	contended bool
	fresh     bool // held, and nobody was told on what lease
	granted   bool // its caller knows that it was
	result    backend.Result
	refusal   error

	// Of the hold.
	lease  *lease
	lost   bool // too few nodes still have their votes, and its caller was told
	doubts int  // how often a node had no vote of it, or may have given it to others

	link chain.Link[acquisition] // in the rota
}

type state uint8

const (
	asking  state = iota + 1 // votes are on their way
	waiting                  // for a push, or for due
	holding
	refused // result tells why
	releasing
)

// buckets is into how many the names of locks fall for their tokens. Nodes keep a token
// for each and none for a name, so what they keep does not grow. It is a constant of the
// protocol.
const buckets = 1 << 14

func newAcquisition(op *backend.Op, nodes int, now time.Time) *acquisition {
	a := &acquisition{op: *op, votes: make([]vote, nodes), ticket: uint64(now.UnixMicro())}
	a.lock = LockID(op.Class, op.Name)
	h := fnv.New32a()
	h.Write([]byte(a.lock))
	a.bucket = strconv.FormatUint(uint64(h.Sum32()%buckets), 36)
	return a
}

// LockID returns how nodes call a lock: by the letter and the name or digest of its
// subject.
func LockID(class backend.Class, name string) string {
	s := redislock.Subject(class, name)
	return s[:1] + s[2:]
}

// epochs returns those of the votes that count, and their number.
func (a *acquisition) epochs() (e epochs, n int) {
	for i := range a.votes {
		if v := &a.votes[i]; v.stands(a) {
			e[i] = v.epoch
			n++
		}
	}
	return e, n
}
