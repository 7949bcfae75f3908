package quorum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// A replica is a session's connection to one node of a quorum. It sends what is asked
// of the node in order, in batches, one at a time, and sends a batch without an answer
// again over the next connection. Nothing that was sent is ever taken back: a release
// is queued behind the vote that it gives back.
type replica struct {
	// Immutable.
	session *session
	index   int
	node    *redisconn.Node
	wire    *redisconn.Wire
	kick    chan struct{} // holds one: sent when there is something to do, received by run

	// Owned by run.
	client     redis.UniversalClient // of conn
	conn       *redis.Conn
	generation uint64
	terms      int
	args       []any
	horizon    time.Duration // of what is touched now
	listening  bool
	renewed    bool // the connection stands for one that broke, and nothing was answered by it yet

	// Guarded by session.mu.
	state    lineState
	err      error  // why it is down
	step     string // of connecting
	greeting greeting
	greeted  bool  // by this connection
	tried    bool  // has greeted or failed since the session was opened
	unfit    error // why the node is asked for no new votes, or nil
	deaf     bool  // its messages do not come
	term     *term
	queue    []*ask         // not sent yet, in order
	off      int            // of queue, withdrawn
	lacks    []*acquisition // holds that lack the vote of the node
	owed     []*acquisition // over, and the node has refused to release what they had
	sent     []*ask         // the batch on its way, or to be sent again
	asked    uint64         // the number of the last ask or heartbeat
	answered uint64         // the number up to which all have an answer
	beat     bool           // the term is to be renewed
	mark     uint64         // the number of the last in sent
	marked   bool           // sent renews the term
	began    time.Time
	rtt      time.Duration
	left     bool // the node has ended the term
}

type lineState uint8

const (
	lineDialing lineState = iota + 1
	lineUp
	lineDown
)

// asksPerBatch bounds for how long a batch keeps a server from others.
const asksPerBatch = 512

// silent reports whether an answer of the node is not to be counted on.
func (l *replica) silent(now time.Time) bool {
	return l.state != lineUp || !l.began.IsZero() && now.Sub(l.began) > l.lag()
}

// lag is after how long an answer is late.
func (l *replica) lag() time.Duration {
	return min(max(100*time.Millisecond, 8*l.rtt), l.session.ttl/6)
}

// add queues a request. The session's mutex is held, as in all methods but those of run.
func (l *replica) add(a *ask) {
	l.asked++
	a.seq = l.asked
	if a.kind.binds() {
		a.bid.votes[l.index].open++
	}
	l.queue = append(l.queue, a)
	l.wake()
}

// renew has the term renewed by the next batch.
func (l *replica) renew() {
	l.asked++
	l.beat = true
	l.wake()
}

func (l *replica) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// withdraw takes out a request that was not sent. A node that does not answer must not
// make the queue grow.
func (l *replica) withdraw(a *ask) {
	a.off = true
	if a.kind.binds() {
		a.bid.votes[l.index].open--
	}
	if l.off++; l.off > len(l.queue)/2 {
		l.queue = slices.DeleteFunc(l.queue, func(a *ask) bool { return a.off })
		l.off = 0
	}
}

func (l *replica) run() {
	defer l.session.running.Done()
	pause := 10 * time.Millisecond
	for {
		err := l.connect()
		served := err == nil
		if served {
			pause = 10 * time.Millisecond
			err = l.serve()
		}
		l.conn.Close()
		l.client.Close()
		if err == nil {
			return
		}
		if served && redisconn.Broken(err) && !l.renewed {
			// Servers and proxies close idle connections. Whoever waits for the answer hears
			// of it only if there cannot be another one, and so does who ends the session.
			l.renewed = true
			continue
		}
		l.session.fell(l, err)
		select {
		case <-time.After(pause):
		case <-l.session.done:
		}
		if l.session.ending() {
			return
		}
		pause = min(2*pause, time.Second, l.session.ttl/8)
	}
}

// dial returns a client for one connection. A pool would make another without a word
// when it breaks, and hold back attempts after those that failed.
func (l *replica) dial() redis.UniversalClient {
	return l.node.Connect(l.wire, 2, l.session.patience())
}

// connect makes a connection and has it speak for the session.
func (l *replica) connect() error {
	ctx := l.session.life
	l.client = l.dial()
	l.conn = l.client.(*redis.Client).Conn()
	l.session.connecting(l, "subscribing to the channel of the session")
	if !l.listening {
		e, err := l.subscribe(ctx)
		if err != nil && !unsubscribable(err) {
			return l.failed(err)
		}
		l.listening = true
		l.session.running.Add(1)
		go l.listen(e)
	}
	l.session.connecting(l, "asking the server what it is")
	g, err := l.greet(ctx)
	if err != nil {
		return l.failed(err)
	}
	l.session.connecting(l, "joining the node")
	before := l.greeting.run // Nobody else writes it.
	standing, err := l.session.met(l, g)
	if err != nil {
		return err
	}
	l.generation++
	if l.session.hasTerm(l) {
		if ok, err := l.join(g, standing, false); ok || err != nil {
			return err
		}
		// The node does not know the session any more.
		end := termForgotten
		switch {
		case before != g.run:
			end = termRestarted
		case g.marker == "":
			end = termFlushed
		}
		l.session.lostTerm(l, end)
	}
	_, err = l.join(g, standing, true)
	return err
}

// failed returns why a step of connecting has failed.
func (l *replica) failed(err error) error {
	if no := redisconn.Refusal(err); no != nil {
		err = no
	}
	return fmt.Errorf("%s: %w", l.doing(), err)
}

// doing tells the step of connecting that the replica is at.
func (l *replica) doing() string {
	return cmp.Or(l.wire.Reaching(), l.step)
}

// A greeting is what a server says of itself.
type greeting struct {
	run    string
	uptime time.Duration // of which as much has passed at least
	marker string        // the run_id of the server when it was marked, or ""
	age    time.Duration // of a quorum that was set up as new, or 0
	peers  string        // the run_ids of its nodes at that time, or ""
	most   time.Duration
	err    error // why it cannot be a node
	evicts error // why it would lose votes, as it is set up now
}

func (l *replica) greet(ctx context.Context) (g greeting, err error) {
	info, err := redisconn.AskInfo(ctx, l.conn)
	if err != nil {
		return g, err
	}
	g.run = info["run_id"]
	seconds, _ := strconv.ParseInt(info["uptime_in_seconds"], 10, 64)
	g.uptime = time.Duration(max(0, seconds-1)) * time.Second // It is rounded in both directions.
	g.evicts = redisconn.Evicts(info)
	if g.err = redisconn.FitNode(info); g.err != nil {
		return g, nil
	}
	marker, err := l.conn.HMGet(ctx, l.session.quorum.prefix+"node", "run", "born", "peers", "most").Result()
	if err != nil {
		return g, err
	}
	now, err := l.conn.Time(ctx).Result()
	if err != nil {
		return g, err
	}
	g.marker, _ = marker[0].(string)
	if born, ok := marker[1].(string); ok {
		ms, _ := strconv.ParseInt(born, 10, 64)
		g.age = now.Sub(time.UnixMilli(ms))
	}
	g.peers, _ = marker[2].(string)
	most, _ := marker[3].(string)
	ms, _ := strconv.ParseInt(most, 10, 64)
	g.most = time.Duration(ms) * time.Millisecond
	return g, nil
}

// join makes the connection speak for the present term, or begins a new one.
func (l *replica) join(g greeting, standing string, begin bool) (ok bool, err error) {
	s := l.session
	ttl := int64(0)
	if begin {
		l.terms++
		ttl = s.ttl.Milliseconds()
	}
	name := s.id + "." + strconv.Itoa(l.terms)
	args := joinScript.Args(l.args[:0])
	args = append(args, 1, s.quorum.prefix, g.run, g.uptime.Milliseconds(), standing, s.mostTTL().Milliseconds(), s.peers(),
		name, l.generation, ttl, s.who.Host, s.who.PID, s.who.Reason, quorumFormat, l.horizon.Milliseconds())
	before := time.Now()
	v, err := joinScript.Call(s.life, l.conn, args)
	if err != nil {
		return false, l.failed(err)
	}
	if format, ok := v.(string); ok {
		return false, s.misfit(l, redisconn.ErrFormat(l.node, s.quorum.prefix, format, quorumFormat))
	}
	if v != int64(1) {
		return false, nil
	}
	s.joined(l, name, before, begin)
	return true, nil
}

// serve sends what there is to send, until the connection breaks or the session ends.
func (l *replica) serve() error {
	looks := time.NewTicker(l.session.quorum.FitEvery)
	defer looks.Stop()
	for {
		select {
		case <-looks.C:
			if err := l.look(); err != nil {
				return err
			}
		default:
		}
		asks, beat, before := l.session.take(l)
		switch {
		case before.IsZero() && l.session.ending():
			return l.leave()
		case before.IsZero():
			select {
			case <-l.kick:
			case <-looks.C:
				if err := l.look(); err != nil {
					return err
				}
			case <-l.session.done:
			}
			continue
		}
		if err := l.exchange(asks, beat, before); err != nil {
			return err
		}
		l.renewed = false
	}
}

// look asks what the server is, which may be changed at any time. One that begins to
// evict keys keeps what it has, as far as it does, and is asked for no new votes.
func (l *replica) look() error {
	info, err := redisconn.Inform(l.session.life, l.conn)
	if err == nil && info != nil {
		err = redisconn.FitNode(info)
	}
	if err != nil {
		return err
	}
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.session.evicting(l, redisconn.Evicts(info))
	return nil
}

var (
	errStale     = errors.New("a newer connection speaks for the session")
	errMalformed = errors.New("malformed answer of the node")
)

// exchange sends a batch and passes the answers on.
func (l *replica) exchange(asks []*ask, beat bool, before time.Time) error {
	s := l.session
	ttl := int64(0)
	if beat {
		ttl = s.ttl.Milliseconds()
	}
	args := voteScript.Args(l.args[:0])
	args = append(args, 1, s.quorum.prefix, l.term.name, l.generation, ttl, s.mostTTL().Microseconds(), l.horizon.Milliseconds())
	for _, a := range asks {
		args = a.args(args)
	}
	l.args = args
	v, err := voteScript.Call(s.life, l.conn, args)
	if err != nil {
		if redisconn.Refusal(err) != nil {
			s.unsend(asks)
		}
		return err
	}
	answers, _ := v.([]any)
	if len(answers) == 0 {
		return errMalformed
	}
	switch answers[0] {
	case "over":
		s.unsend(asks)
		return errOver
	case "stale":
		return errStale
	}
	if len(answers) != len(asks)+1 {
		return errMalformed
	}
	s.answer(l, asks, answers[1:], beat, before)
	return nil
}

// errOver makes run connect again, and with that begin another term.
var errOver = errors.New("the node does not know the session any more")

// leave ends the term at the node.
func (l *replica) leave() error {
	for {
		v, err := leaveScript.Call(l.session.life, l.conn, append(leaveScript.Args(l.args[:0]), 1, l.session.quorum.prefix, l.term.name, l.horizon.Milliseconds()))
		if err != nil {
			return err
		}
		if v == int64(0) {
			l.session.parted(l)
			return nil
		}
	}
}
