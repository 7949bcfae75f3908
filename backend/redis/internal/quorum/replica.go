package quorum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend/redis/internal/quorum/vote"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// A replica is a session's connection to one node of a quorum. It sends the batches that
// the machine has for the node, one at a time, and sends one without an answer again over
// the next connection.
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
	epochs     int    // begun
	epoch      string // the name of the last
	args       []any
	answers    []vote.Answer
	listening  bool
	renewed    bool // the connection stands for one that broke, and nothing was answered by it yet

	// Guarded by session.mu.
	step     string // of connecting
	greeting greeting
	greeted  bool // by this connection
	tried    bool // has greeted or failed since the session was opened
}

func newReplica(s *session, index int, n *redisconn.Node) *replica {
	l := &replica{session: s, index: index, node: n, wire: new(redisconn.Wire), kick: make(chan struct{}, 1)}
	l.wire.Open()
	return l
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
	if l.session.hasJoined(l) {
		if ok, err := l.join(g, standing, false); ok || err != nil {
			return err
		}
		// The node does not know the session any more.
		end := vote.Forgotten
		switch {
		case before != g.run:
			end = vote.Restarted
		case g.marker == "":
			end = vote.Flushed
		}
		l.session.forgotten(l, end)
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

// join makes the connection speak for the present epoch, or begins a new one.
func (l *replica) join(g greeting, standing string, begin bool) (ok bool, err error) {
	s := l.session
	ttl := int64(0)
	if begin {
		l.epochs++
		l.epoch = s.id + "." + strconv.Itoa(l.epochs)
		ttl = s.ttl.Milliseconds()
	}
	args := joinScript.Args(l.args[:0])
	args = append(args, 1, s.quorum.prefix, g.run, g.uptime.Milliseconds(), standing, s.mostTTL().Milliseconds(), s.peers(),
		l.epoch, l.generation, ttl, s.who.Host, s.who.PID, s.who.Reason, quorumFormat, s.horizon().Milliseconds())
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
	s.joined(l, before, begin)
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
		before := time.Now()
		batch, ok := l.session.take(l, before)
		switch {
		case !ok && l.session.ending():
			return l.leave()
		case !ok:
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
		if err := l.exchange(batch, before); err != nil {
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
	defer l.session.unlock()
	l.session.votes.Evicts(l.index, redisconn.Evicts(info))
	return nil
}

var (
	errStale     = errors.New("a newer connection speaks for the session")
	errMalformed = errors.New("malformed answer of the node")
)

// exchange sends a batch and passes the answers on.
func (l *replica) exchange(batch vote.Batch, before time.Time) error {
	s := l.session
	ttl := int64(0)
	if batch.Renew {
		ttl = s.ttl.Milliseconds()
	}
	args := voteScript.Args(l.args[:0])
	args = append(args, 1, s.quorum.prefix, l.epoch, l.generation, ttl, s.mostTTL().Microseconds(), batch.Horizon.Milliseconds())
	for _, r := range batch.Requests {
		args = appendRequest(args, r)
	}
	l.args = args
	v, err := voteScript.Call(s.life, l.conn, args)
	if err != nil {
		if redisconn.Refusal(err) != nil {
			s.unsend(l)
		}
		return err
	}
	answers, _ := v.([]any)
	if len(answers) == 0 {
		return errMalformed
	}
	switch answers[0] {
	case "over":
		s.unsend(l)
		return vote.ErrOver // connects again, and with that begins another epoch
	case "stale":
		return errStale
	}
	if len(answers) != len(batch.Requests)+1 {
		return errMalformed
	}
	l.answers = l.answers[:0]
	for _, a := range answers[1:] {
		l.answers = append(l.answers, parseAnswer(a))
	}
	s.answer(l, l.answers, before)
	clear(l.answers)
	return nil
}

// leave ends the epoch at the node.
func (l *replica) leave() error {
	for {
		v, err := leaveScript.Call(l.session.life, l.conn, append(leaveScript.Args(l.args[:0]), 1, l.session.quorum.prefix, l.epoch, l.session.horizon().Milliseconds()))
		if err != nil {
			return err
		}
		if v == int64(0) {
			l.session.parted(l)
			return nil
		}
	}
}
