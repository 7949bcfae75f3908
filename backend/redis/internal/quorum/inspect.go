package quorum

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// A seat is one owner of one session as nodes know it.
type seat struct {
	session, owner string
	holds          bool
}

// A sighting is what nodes tell of a seat.
type sighting struct {
	standing backend.Participant
	number   uint64 // the token, or the ticket of one who waits
	nodes    int
}

// Inspect tells who holds a lock and who waits for it. It asks all nodes over connections of its own, and puts
// together what they know: who has votes that may be a majority holds.
func (q *Engine) Inspect(ctx context.Context, class backend.Class, name string) (holders, waiters []backend.Participant, err error) {
	if class < backend.Mutex || class > backend.Semaphore {
		return nil, nil, fmt.Errorf("%w: class %d", backend.ErrUnsupported, class)
	}
	answers := make(chan looked, len(q.nodes))
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for i, n := range q.nodes {
		go q.look(asking, i, n, vote.LockID(class, name), answers)
	}
	seats := make(map[seat]*sighting)
	why := make([]error, len(q.nodes))
	told := 0
	var grace <-chan time.Time
	began := time.Now()
	for range q.nodes {
		var a looked
		select {
		case a = <-answers:
		case <-grace:
			cancel() // All goroutines are waited for, and end now.
			a = <-answers
		}
		if a.err != nil {
			why[a.node] = a.err
			continue
		}
		see(seats, a.rows)
		if told++; told == vote.Majority(len(q.nodes)) {
			grace = time.After(10 * patienceForOthers(time.Since(began)))
		}
	}
	if told < vote.Majority(len(q.nodes)) {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		return nil, nil, q.errNodes(why)
	}
	for s, g := range seats {
		if s.holds && g.nodes+len(q.nodes)-told < vote.Majority(len(q.nodes)) {
			delete(seats, s) // It is about to win or to lose.
		}
	}
	return list(seats, true), list(seats, false), nil
}

// A looked is what one node tells Inspect.
type looked struct {
	node int
	rows any // of vote_inspect.lua
	err  error
}

// look asks one node. There is room for its answer.
func (q *Engine) look(ctx context.Context, i int, n *redisconn.Node, lock string, answers chan<- looked) {
	w := new(redisconn.Wire)
	client := n.Connect(w, 1, 10*time.Second)
	defer client.Close()
	defer context.AfterFunc(ctx, w.Cut)()
	if err := ctx.Err(); err != nil {
		answers <- looked{node: i, err: err}
		return
	}
	rows, err := ballotsScript.Call(ctx, client, append(ballotsScript.Args(nil), 1, q.prefix, lock))
	if err != nil {
		err = redisconn.Reason(ctx, err)
	}
	answers <- looked{i, rows, err}
}

// see adds what a node tells.
func see(seats map[seat]*sighting, rows any) {
	list, _ := rows.([]any)
	for _, row := range list {
		fields, _ := row.([]any)
		if len(fields) != 9 {
			continue
		}
		var f [9]string
		for i := range f {
			f[i], _ = fields[i].(string)
		}
		s := seat{f[1], f[2], f[0] == "h"}
		number, _ := strconv.ParseUint(f[4], 10, 64)
		ms, _ := strconv.ParseInt(f[5], 10, 64)
		g := seats[s]
		if g == nil || g.number < number {
			g = &sighting{number: number}
			g.standing = backend.Participant{ClientInfo: backend.ClientInfo{Host: f[6], Reason: f[8]}, Mode: backend.Exclusive}
			g.standing.PID, _ = strconv.Atoi(f[7])
			if f[3] == "s" {
				g.standing.Mode = backend.Shared
			}
			if s.holds {
				g.standing.Ordinal = number
			}
			seats[s] = g
		}
		if since := time.UnixMilli(ms); g.nodes == 0 || since.Before(g.standing.Since) {
			g.standing.Since = since
		}
		g.nodes++
	}
}

// list returns those who hold, or those who wait and do not, in order.
func list(seats map[seat]*sighting, hold bool) []backend.Participant {
	var found []*sighting
	for s, g := range seats {
		if s.holds == hold && (hold || seats[seat{s.session, s.owner, true}] == nil) {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b *sighting) int { return cmp.Compare(a.number, b.number) })
	var all []backend.Participant
	for _, g := range found {
		all = append(all, g.standing)
	}
	return all
}
