package quorum

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
	"github.com/dlock-go/dlock/internal/redistest"
)

var ballotSchedules = flag.Int("quorum.schedules", 150, "how many schedules TestBallots plays")

// A poll is nodes and those who bid for their votes, moved step by step: what reaches
// which node when, and whose epochs end, is up to a seed. Nothing runs beside it.
type poll struct {
	t       *testing.T
	random  *rand.Rand
	nodes   []*redis.Client
	prefix  string
	bidders []*bidder
	highest uint64 // of all grants
	grants  int
}

// A bidder bids in epochs that may end at any moment.
type bidder struct {
	name    string
	epoch   [3]int // count, by node
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

func (p *poll) epoch(b *bidder, node int) string { return fmt.Sprint(b.name, ".", b.epoch[node]) }

func (p *poll) join(b *bidder, node int) {
	b.epoch[node]++
	if p.run(joinScript, node, "run", 1, "new", 60000, "", p.epoch(b, node), 1, 600000, "host", 1, "", quorumFormat, 600000) != int64(1) {
		p.t.Fatal("not joined")
	}
}

// ask has one node answer a request, and returns its answer.
func (p *poll) ask(b *bidder, node int, kind string, limit int) []any {
	lock := "ma"
	if limit > 1 {
		lock = "sa"
	}
	v := p.run(voteScript, node, p.epoch(b, node), 1, 0, 60_000_000, 600000,
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

// lapse ends the epoch of a bidder at a node, as if it had not been heard of.
func (p *poll) lapse(b *bidder, node int) {
	p.run(leaveScript, node, p.epoch(b, node), 600000)
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
		s, err := q.Open(t.Context(), 6*time.Second, backend.ClientInfo{})
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
	batch := []any{p.epoch(b, 0), 1, 0, 60_000_000, 600000, "V", 1, "x", "0", backend.OrdinalAt(time.Now()), 1, 0, 1, "0", "ma"}
	if p.run(joinScript, 0, "run", 1, "lost", 60000, "", p.epoch(b, 0), 2, 0, "host", 1, "", quorumFormat, 600000) != int64(1) {
		t.Fatal("the second connection does not speak for the epoch")
	}
	if v := p.run(voteScript, 0, batch...).([]any); v[0] != "stale" {
		t.Errorf("answer %v", v)
	}
	batch[1] = 2
	if v := p.run(voteScript, 0, batch...).([]any); v[0] != "ok" || v[1].([]any)[0] != "given" {
		t.Errorf("answer %v", v)
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

// A node that has lost its data may not vote for as long as leases of before last, and for
// those who hold by others for as long as votes of before may win: a third of the longest
// time to live, and 3.5 s at most.
func TestVotesAgain(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { c.Close() })
	p := &poll{t: t, random: rand.New(rand.NewPCG(1, 0)), nodes: []*redis.Client{c}, prefix: "p:"}
	for most, again := range map[int]time.Duration{6000: 2 * time.Second, 60000: 3500 * time.Millisecond} {
		do(t, s, "FLUSHALL")
		before := time.Now()
		b := &bidder{name: "bidder"}
		b.epoch[0]++
		if p.run(joinScript, 0, "run", 1, "lost", most, "", p.epoch(b, 0), 1, 600000, "host", 1, "", quorumFormat, 600000) != int64(1) {
			t.Fatal("not joined")
		}
		p.bid(b, 1)
		for _, kind := range []string{"V", "R"} {
			answer := p.ask(b, 0, kind, 1)
			want := map[string]time.Duration{"V": time.Duration(most) * time.Millisecond, "R": again}[kind]
			var ms int64
			if fmt.Sscan(answer[1].(string), &ms); answer[0] != "wait" || time.Duration(ms)*time.Millisecond > want || time.Duration(ms)*time.Millisecond < want-time.Since(before)-2*time.Millisecond {
				t.Errorf("%s: %v, want to wait for %v", kind, answer, want)
			}
		}
		do(t, s, "HSET", "p:node", "again", "0")
		if answer := p.ask(b, 0, "R", 1); answer[0] != "given" {
			t.Errorf("%v after that time", answer)
		}
		if most := time.Duration(most) * time.Millisecond; again <= vote.WinsFor(most)*11/10 {
			t.Errorf("a vote wins for %v with a time to live of %v, and a node forgets it for %v", vote.WinsFor(most), most, again)
		}
	}
}

func do(t *testing.T, s *redistest.Server, args ...string) {
	t.Helper()
	if _, err := s.Do(args...); err != nil {
		t.Fatal(err)
	}
}
