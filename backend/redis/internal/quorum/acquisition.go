package quorum

import (
	"hash/fnv"
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// An acquisition is one owner's way to a lock of a quorum: it asks all nodes for their votes,
// and holds when a majority has given it theirs for one token. The session's mutex
// guards it.
type acquisition struct {
	op     backend.Op
	lock   string // as the nodes call it
	bucket string
	ticket uint64 // by which nodes order those who wait
	state  bidState

	// Of the attempt.
	ballot uint64    // the token it asks for
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
	fresh     bool // held, and nobody was told on what terms
	granted   bool // its caller knows that it was
	result    backend.Result
	refusal   error

	// Of the hold.
	footing *footing
	lost    bool // too few nodes still have their votes, and its caller was told
	doubts  int  // how often a node had no vote of it, or may have given it to others

	// In the rota.
	listed     bool
	prev, next *acquisition
}

type bidState uint8

const (
	bidAsking  bidState = iota + 1 // votes are on their way
	bidWaiting                     // for a push, or for due
	bidHolding
	bidRefused // result tells why
	bidFreeing
)

// A vote is what an acquisition knows of one node.
type vote struct {
	state   voteState
	round   int
	ballot  uint64 // of what was asked or given
	slot    uint32
	term    *term // of what was given
	touched *term // under which something was sent last; nil: the node has never heard of the acquisition
	ask     *ask  // for the vote, not sent yet
	open    int   // requests but releases that have no answer yet
	free    *ask  // the release, not answered yet
	freed   bool
	proof   proof // of a hold that is being released
	refusal error // why the node did not release
	tried   bool  // a release was asked for before
	dirty   bool  // something was sent since the release was asked for
	told    bool  // that it may be its turn, while an answer was on its way
	offer   offer
	rivals  []rival       // of voteBusy
	away    time.Duration // of voteAway
	others  bool          // another session waits there
	err     error

	check   *ask // whether the node still has the vote, not answered yet
	sure    int  // the doubts of the acquisition when that was asked which the node said yes to
	missing bool // the node said no
	doubted bool // the node gives it to an acquisition that is confirmed alone
	lacking bool // the acquisition stands in the node's list of those that lack it
}

type voteState uint8

const (
	voteNone   voteState = iota // not asked
	voteAsked                   // no answer yet
	voteGiven                   // by the term of the vote
	voteUnfit                   // the token was too low or too high: offer tells
	voteBusy                    // others are in the way: rivals tells
	voteKept                    // others have a better right
	voteAway                    // the node has no right to vote yet
	voteLimit                   // in use with another limit
	voteFailed                  // err tells
)

// A proof is what is known of a vote of a hold that is being released: whether the node
// kept it until then, so that nobody else was given it.
type proof uint8

const (
	proofNone proof = iota // there was none, or the node has forgotten it
	proofOpen              // the answer to the release will tell
	proofKept              // or nobody can tell
)

// A rival holds a slot at a node.
type rival struct {
	slot uint32
	who  string
}

// An ask is a request of an acquisition to a node.
type ask struct {
	kind   askKind
	bid    *acquisition
	flag   bool
	off    bool   // was withdrawn before it was sent
	sent   bool   // and may have taken effect
	again  bool   // was sent before without an answer
	seq    uint64 // among those of its replica
	ballot uint64 // of askVote and askAffirm, when it is sent
	slot   uint32
	round  int
	doubts int // of the acquisition, when askCheck was asked
}

type askKind string

const (
	askVote   askKind = "V"
	askAffirm askKind = "R" // of one who holds; flag: a majority has confirmed that it does
	askFree   askKind = "F" // flag: it held
	askYield  askKind = "U" // flag: nobody has won
	askCheck  askKind = "C" // whether the vote is still there
)

// binds reports whether a request may leave something at the node that has to be released.
func (k askKind) binds() bool { return k != askFree && k != askCheck }

// ballotBuckets is into how many the names of locks fall for their tokens. Nodes keep a
// token for each and none for a name, so what they keep does not grow. It is a
// constant of the protocol.
const ballotBuckets = 1 << 14

func newBid(op *backend.Op, nodes int, now time.Time) *acquisition {
	b := &acquisition{op: *op, votes: make([]vote, nodes), ticket: uint64(now.UnixMicro())}
	b.lock = lockID(op.Class, op.Name)
	h := fnv.New32a()
	h.Write([]byte(b.lock))
	b.bucket = strconv.FormatUint(uint64(h.Sum32()%ballotBuckets), 36)
	return b
}

// lockID returns how nodes call a lock: by the letter and the name or digest of its subject.
func lockID(class backend.Class, name string) string {
	s := redislock.Subject(class, name)
	return s[:1] + s[2:]
}

// args appends a's arguments for the script.
func (a *ask) args(args []any) []any {
	b := a.bid
	mode, flag := "x", "0"
	if b.op.Mode == backend.Shared {
		mode = "s"
	}
	if a.flag {
		flag = "1"
	}
	return append(args, string(a.kind), b.op.Owner, mode, flag, a.ballot, b.ticket, a.slot, b.op.Limit, b.bucket, b.lock)
}

// stands reports whether a node's vote counts for what b asks for now.
func (v *vote) stands(b *acquisition) bool {
	return v.state == voteGiven && !v.term.over && v.ballot == b.ballot && v.slot == b.slot
}

// terms returns those of the votes that count.
func (b *acquisition) terms() (k footingKey, n int) {
	for i := range b.votes {
		if v := &b.votes[i]; v.stands(b) {
			k[i] = v.term
			n++
		}
	}
	return k, n
}
