package quorum

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
	"github.com/dlock-go/dlock/internal/redistest"
)

var ballotSchedules = flag.Int("quorum.schedules", 150, "how many schedules TestBallots plays")

// A poll is nodes and those who bid for their votes, moved step by step: what reaches
// which node when, and whose terms end, is up to a seed. Nothing runs beside it.
type poll struct {
	t       *testing.T
	random  *rand.Rand
	nodes   []*redis.Client
	prefix  string
	bidders []*bidder
	highest uint64 // of all grants
	grants  int
}

// A bidder bids under terms that may end at any moment.
type bidder struct {
	name    string
	term    [3]int // count, by node
	clock   int64  // how far its clock is off, in µs
	owner   int
	ballot  uint64
	slot    string
	votes   [3]bool
	unasked []int // nodes
	seen    uint64
	holds   bool
}

func (p *poll) run(s *redisconn.Script, node int, args ...any) any {
	p.t.Helper()
	v, err := s.Call(context.Background(), p.nodes[node], append(append(s.Args(nil), 1, p.prefix), args...))
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

func (p *poll) term(b *bidder, node int) string { return fmt.Sprint(b.name, ".", b.term[node]) }

func (p *poll) join(b *bidder, node int) {
	b.term[node]++
	if p.run(joinScript, node, "run", 1, "new", 60000, "", p.term(b, node), 1, 600000, "host", 1, "", quorumFormat, 600000) != int64(1) {
		p.t.Fatal("not joined")
	}
}

// ask has one node answer a request, and returns its answer.
func (p *poll) ask(b *bidder, node int, kind string, limit int) []any {
	lock := "ma"
	if limit > 1 {
		lock = "sa"
	}
	v := p.run(voteScript, node, p.term(b, node), 1, 0, 60_000_000, 600000,
		kind, b.owner, "x", "0", b.ballot, 1, b.slot, limit, "0", lock).([]any)
	if v[0] != "ok" {
		p.t.Fatalf("answer %v", v)
	}
	return v[1].([]any)
}

// bid begins an attempt.
func (p *poll) bid(b *bidder, limit int) {
	b.owner++
	b.ballot = max(backend.OrdinalAt(time.Now().Add(time.Duration(b.clock)*time.Microsecond)), b.seen+1, b.ballot+1)
	b.slot = fmt.Sprint(p.random.IntN(limit))
	b.votes = [3]bool{}
	b.unasked = p.random.Perm(3)
}

// step moves a bidder by one message.
func (p *poll) step(b *bidder, limit int) {
	if len(b.unasked) > 0 {
		node := b.unasked[0]
		b.unasked = b.unasked[1:]
		switch answer := p.ask(b, node, "V", limit); answer[0] {
		case "given":
			b.votes[node] = true
		case "low":
			var floor uint64
			fmt.Sscan(answer[1].(string), &floor)
			b.seen = max(b.seen, floor)
		}
		if n := b.count(); n == 2 && !b.holds {
			p.granted(b, limit)
		}
		return
	}
	for node := range b.votes {
		p.ask(b, node, "F", limit)
	}
	b.holds, b.votes = false, [3]bool{}
	p.bid(b, limit)
}

func (b *bidder) count() int {
	n := 0
	for _, v := range b.votes {
		if v {
			n++
		}
	}
	return n
}

func (p *poll) granted(b *bidder, limit int) {
	b.holds = true
	p.grants++
	if b.ballot <= p.highest && limit == 1 {
		p.t.Fatalf("token %d was granted after %d", b.ballot, p.highest)
	}
	p.highest = max(p.highest, b.ballot)
	holders := 0
	for _, other := range p.bidders {
		if other.holds {
			holders++
		}
	}
	if holders > limit {
		p.t.Fatalf("%d hold, and the limit is %d", holders, limit)
	}
}

// lapse ends the term of a bidder at a node, as if it had not been heard of.
func (p *poll) lapse(b *bidder, node int) {
	p.run(leaveScript, node, p.term(b, node), 600000)
	if b.votes[node] = false; b.holds && b.count() < 2 {
		b.holds, b.unasked = false, nil // It was told, and does not go on with what it has.
	}
	p.join(b, node)
}

// Tokens grow from grant to grant, and no more than the limit hold, in whatever order
// messages arrive and leases lapse, and however far clocks are apart.
func TestBallots(t *testing.T) {
	random := backendtest.Rand(t)
	var nodes []*redis.Client
	for range 3 {
		s := redistest.New(t)
		c := redis.NewClient(&redis.Options{Addr: s.Addr()})
		t.Cleanup(func() { c.Close() })
		nodes = append(nodes, c)
	}
	grants := 0
	for i := range *ballotSchedules {
		limit := 1 + i%2
		p := &poll{t: t, random: random, nodes: nodes, prefix: fmt.Sprint("p", i, ":")}
		for k := range 4 {
			b := &bidder{name: fmt.Sprint("bidder", k), clock: random.Int64N(2_000_000) - 1_000_000}
			for node := range nodes {
				p.join(b, node)
			}
			p.bid(b, limit)
			p.bidders = append(p.bidders, b)
		}
		for range 80 {
			b := p.bidders[random.IntN(len(p.bidders))]
			if random.IntN(8) == 0 {
				p.lapse(b, random.IntN(3))
			} else {
				p.step(b, limit)
			}
		}
		grants += p.grants
	}
	if grants < *ballotSchedules {
		t.Errorf("%d grants in %d schedules", grants, *ballotSchedules)
	}
	t.Logf("%d grants", grants)
}

func TestAbove(t *testing.T) {
	now := backend.OrdinalTime(1_000_000)
	for _, c := range []struct {
		what   string
		offers []offer
		want   uint64
	}{
		{"nobody has refused", []offer{{}, {}, {}}, 1_000_000},
		{"one refuses what is too low", []offer{{floor: 2_000_000}, {}, {}}, 2_000_001},
		{"one was led astray", []offer{{floor: 9_000_000}, {ceiling: 3_000_000}, {ceiling: 3_000_000}}, 3_000_000},
		{"the clock here is ahead", []offer{{ceiling: 900_000}, {ceiling: 800_000}, {ceiling: 700_000}}, 800_000},
	} {
		if got := new(ballots).above(c.offers, 2, 0, now); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	// What was learned serves the next.
	b := new(ballots)
	b.above([]offer{{ceiling: 900_000}, {ceiling: 900_000}, {ceiling: 900_000}}, 2, 0, now)
	if next := b.next(now); next > 900_001 {
		t.Errorf("the next token is %d", next)
	}
}

// Counting the holders on each node is not enough; slots are.
func TestSlotsAreExact(t *testing.T) {
	var nodes []*redisconn.Node
	var servers []*redistest.Server
	for range 3 {
		s := redistest.New(t)
		servers = append(servers, s)
		nodes = append(nodes, &redisconn.Node{Scheme: "redis", Addr: s.Addr(), Options: &redis.Options{Addr: s.Addr()}})
	}
	q, err := New(nodes, "t:", 0)
	if err != nil {
		t.Fatal(err)
	}
	op := backend.Op{Do: backend.Acquire, Class: backend.Semaphore, Mode: backend.Exclusive, Limit: 2, Owner: 1, Name: "a"}
	var states []string
	for away := range 3 {
		s, err := q.Open(t.Context(), 6*time.Second, backend.Party{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		servers[away].Pause() // The holder has the votes of the two others.
		r, _, err := s.Apply(t.Context(), []backend.Op{op})
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, fmt.Sprint(r[0].State))
		servers[away].Resume()
	}
	if got := strings.Join(states, " "); got != fmt.Sprintf("%d %d %d", backend.Granted, backend.Granted, backend.Busy) {
		t.Errorf("states %s", got)
	}
}

// What was sent over a connection that was given up must not be carried out after what
// was sent over the next one.
func TestStaleConnection(t *testing.T) {
	s := redistest.New(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { c.Close() })
	p := &poll{t: t, nodes: []*redis.Client{c}, prefix: "p:"}
	b := &bidder{name: "bidder"}
	p.join(b, 0)
	batch := []any{p.term(b, 0), 1, 0, 60_000_000, 600000, "V", 1, "x", "0", backend.OrdinalAt(time.Now()), 1, 0, 1, "0", "ma"}
	if p.run(joinScript, 0, "run", 1, "lost", 60000, "", p.term(b, 0), 2, 0, "host", 1, "", quorumFormat, 600000) != int64(1) {
		t.Fatal("the second connection does not speak for the term")
	}
	if v := p.run(voteScript, 0, batch...).([]any); v[0] != "stale" {
		t.Errorf("answer %v", v)
	}
	batch[1] = 2
	if v := p.run(voteScript, 0, batch...).([]any); v[0] != "ok" || v[1].([]any)[0] != "given" {
		t.Errorf("answer %v", v)
	}
}

// newDetached returns a session of three nodes to which nothing is sent.
func newDetached(t *testing.T, ttl time.Duration, now time.Time) *session {
	t.Helper()
	var nodes []*redisconn.Node
	for range 3 {
		nodes = append(nodes, &redisconn.Node{Options: &redis.Options{Addr: "localhost:1"}})
	}
	q, err := New(nodes, "t:", 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(q, ttl, backend.Party{})
	for _, l := range s.replicas {
		l.state, l.term = lineUp, &term{until: now.Add(ttl)}
	}
	return s
}

// Votes of terms that are about to end are no grant before they are renewed.
func TestLittleLeft(t *testing.T) {
	const ttl = 8 * time.Second
	now := time.Now()
	s := newDetached(t, ttl, now)
	b := newBid(&backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Limit: 1, Owner: 1, Name: "a"}, 3, now)
	b.state, b.ballot = bidAsking, 1
	for i, l := range s.replicas {
		b.votes[i] = vote{state: voteGiven, ballot: 1, term: l.term}
	}
	// The deadline is that of the second longest term.
	s.replicas[0].term.until = now.Add(ttl / 10)
	s.replicas[1].term.until = now.Add(ttl / 10)
	if s.weigh(b, now); b.state != bidAsking {
		t.Errorf("state %d with a tenth of the time to live left", b.state)
	}
	s.replicas[1].term.until = now.Add(ttl / 2)
	s.extend(now)
	if s.weigh(b, now); b.state != bidHolding || !b.footing.until.Equal(now.Add(ttl/2)) {
		t.Errorf("state %d", b.state)
	}
	// Once past its deadline it does not come back.
	late := now.Add(ttl)
	s.replicas[1].term.until = now.Add(2 * ttl)
	s.replicas[0].term.until = now.Add(2 * ttl)
	if s.extend(late); !b.footing.ended(late) {
		t.Error("a lease came back")
	}
}

// Who does not wait ends soon when nobody wins: all others in its batch wait for it.
func TestTryEnds(t *testing.T) {
	now := time.Now()
	s := newDetached(t, time.Second, now)
	b := newBid(&backend.Op{Do: backend.Acquire, Class: backend.Semaphore, Mode: backend.Exclusive, Limit: 2, Owner: 1, Name: "a"}, 3, now)
	began, rounds := now, 0
	for s.attempt(b, now); b.state != bidRefused; rounds++ {
		switch b.state {
		case bidAsking: // Two nodes say that the slot is taken, and name different holders of it.
			for i := range 2 {
				v := &b.votes[i]
				v.ask = nil
				v.state, v.rivals = voteBusy, []rival{{b.slot, fmt.Sprint("rival", i)}}
			}
			now = now.Add(time.Millisecond)
			s.weigh(b, now)
		case bidWaiting:
			now = b.due
			s.attempt(b, now)
		default:
			t.Fatalf("state %d", b.state)
		}
	}
	if d := now.Sub(began); d > 100*time.Millisecond || b.result.State != backend.Busy {
		t.Errorf("result %v after %v and %d rounds", b.result.State, d, rounds)
	}
}

// Two acquisitions that keep each other from the nodes that answer both try again, by
// themselves: neither knows whether the node that does not answer makes the other a holder.
// Who is kept away by a majority waits for a push.
func TestRivalsWithASilentNode(t *testing.T) {
	now := time.Now()
	for _, class := range []backend.Class{backend.Mutex, backend.RWMutex, backend.Semaphore} {
		for _, majority := range []bool{false, true} {
			s := newDetached(t, time.Second, now)
			s.replicas[2].state = lineDown
			b := newBid(&backend.Op{Do: backend.Acquire, Class: class, Mode: backend.Exclusive, Wait: true, Limit: 1, Owner: 1, Name: "a"}, 3, now)
			for round := range 30 {
				s.attempt(b, now)
				for b.state == bidAsking {
					for i := range 2 {
						b.votes[i].ask, b.votes[i].touched = nil, s.replicas[i].term
						b.votes[i].state, b.votes[i].rivals = voteBusy, []rival{{0, "rival"}}
					}
					if !majority {
						b.votes[round%2].state, b.votes[round%2].term = voteGiven, s.replicas[round%2].term
					}
					now = now.Add(time.Millisecond)
					s.weigh(b, now)
				}
				if b.state != bidWaiting || b.due.IsZero() != majority {
					t.Fatalf("class %d, majority %v, round %d: state %d, due in %v", class, majority, round, b.state, b.due.Sub(now))
				}
				if majority {
					break
				}
				if d := b.due.Sub(now); d > 2*longestPause {
					t.Fatalf("round %d: pauses for %v", round, d)
				}
				now = b.due
			}
		}
	}
}

// A bid that a node has told of a release asks the others when they have not told of it
// for a while, also if the answer of that node comes only after that.
func TestGather(t *testing.T) {
	now := time.Now()
	s := newDetached(t, time.Second, now)
	b := newBid(&backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Wait: true, Limit: 1, Owner: 1, Name: "a"}, 3, now)
	b.state, b.stays, b.ballot, b.round = bidWaiting, true, 1, 1
	b.votes[0] = vote{state: voteGiven, ballot: 1, round: 1, term: s.replicas[0].term}
	s.turn(b, s.replicas[1], "", now)
	s.attend(now.Add(gather))
	if states := []voteState{b.votes[0].state, b.votes[1].state, b.votes[2].state}; !slices.Equal(states, []voteState{voteGiven, voteAsked, voteNone}) {
		t.Fatalf("votes are in the states %v", states)
	}
	b.votes[1].ask, b.votes[1].state = nil, voteUnfit
	s.weigh(b, now.Add(gather+time.Millisecond))
	if b.votes[2].state != voteAsked {
		t.Errorf("the node that has not told was not asked: state %d", b.votes[2].state)
	}
}

// A node that tells of a release is asked, also when its word in an earlier round was
// that the token was unfit.
func TestTurnAfterUnfit(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		round int // of the node's vote, of 2
		asked bool
	}{{1, true}, {2, false}} {
		s := newDetached(t, time.Second, now)
		b := newBid(&backend.Op{Do: backend.Acquire, Class: backend.Mutex, Mode: backend.Exclusive, Wait: true, Limit: 1, Owner: 1, Name: "a"}, 3, now)
		b.state, b.ballot, b.round = bidAsking, 1, 2
		b.votes[0] = vote{state: voteUnfit, round: test.round}
		s.turn(b, s.replicas[0], "", now)
		if asked := b.votes[0].state == voteAsked; asked != test.asked {
			t.Errorf("an unfit vote of round %d: state %d", test.round, b.votes[0].state)
		}
	}
}

// A reason that is too long ends with a whole character.
func TestReasonsEndWithARune(t *testing.T) {
	if got, want := redislock.Brief("x"+strings.Repeat("é", 1<<10)), "x"+strings.Repeat("é", 511); got != want {
		t.Errorf("%d bytes, which end with %q", len(got), got[len(got)-3:])
	}
}

// A node whose memory is full gives votes back to those who hold by others, also in a
// batch that renews nothing, and no new ones.
func TestFullNodeAffirms(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { c.Close() })
	p := &poll{t: t, random: rand.New(rand.NewPCG(1, 0)), nodes: []*redis.Client{c}, prefix: "p:"}
	b := &bidder{name: "bidder"}
	p.join(b, 0)
	p.bid(b, 1)
	if _, err := s.Do("CONFIG", "SET", "maxmemory", "1"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		kind, want string
	}{{"V", "error"}, {"R", "given"}, {"F", "free"}} {
		if answer := p.ask(b, 0, step.kind, 1); answer[0] != step.want {
			t.Errorf("%s: %v, want %s", step.kind, answer, step.want)
		}
	}
}

// What is touched stays until it is touched again, of a client with many locks and of one
// with a short time to live, too.
func TestHorizonOfAQuorum(t *testing.T) {
	for _, c := range []struct {
		ttl   time.Duration
		locks int
	}{{10 * time.Second, 1}, {10 * time.Second, 100_000}, {time.Hour, 10_000_000}, {50 * time.Millisecond, 1}} {
		s := newDetached(t, c.ttl, time.Now())
		s.rota.len = c.locks
		turn := time.Duration(c.locks/checksPerThird+1) * c.ttl // with the fewest heartbeats that keep a session alive
		if h := s.horizon(); h < turn+turn/4 || h < 5*PollEvery || h < 12*c.ttl {
			t.Errorf("%d locks and a time to live of %v: %v, and a turn takes up to %v", c.locks, c.ttl, h, turn)
		}
	}
}
