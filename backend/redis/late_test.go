package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

// A detour is a network that can keep what is sent, and deliver it later, when its
// sender has long closed the connection; it can lose the messages of channels, and let
// them overtake the answers to commands.
type detour struct {
	mu      sync.Mutex
	keeping bool
	kept    []parcel

	deaf   atomic.Bool
	missed atomic.Int64 // messages, at least

	answers sync.RWMutex // keeps answers to commands back while it is locked
	heard   atomic.Int64 // messages, at least
}

type parcel struct {
	to   net.Conn
	data []byte
}

type detourConn struct {
	net.Conn
	detour *detour
	owes   bool        // it has sent something that is kept; guarded by detour.mu
	hears  atomic.Bool // it has a subscription
	closed bool        // for its sender, while it owes; guarded by detour.mu
}

func (c *detourConn) SetDeadline(at time.Time) error      { return c.set(c.Conn.SetDeadline, at) }
func (c *detourConn) SetReadDeadline(at time.Time) error  { return c.set(c.Conn.SetReadDeadline, at) }
func (c *detourConn) SetWriteDeadline(at time.Time) error { return c.set(c.Conn.SetWriteDeadline, at) }

// set keeps a deadline of the sender from undoing that it has closed.
func (c *detourConn) set(deadline func(time.Time) error, at time.Time) error {
	c.detour.mu.Lock()
	defer c.detour.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return deadline(at)
}

func (d *detour) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &detourConn{Conn: conn, detour: d}, nil
}

func (c *detourConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("\r\nsubscribe\r\n")) {
		c.hears.Store(true)
	}
	c.detour.mu.Lock()
	defer c.detour.mu.Unlock()
	if c.detour.keeping {
		c.detour.kept = append(c.detour.kept, parcel{c.Conn, append([]byte(nil), b...)})
		c.owes = true
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *detourConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil {
			return n, err
		}
		if !c.hears.Load() {
			c.detour.answers.RLock()
			//lint:ignore SA2001 It is waited for, and keeps nobody out.
			c.detour.answers.RUnlock()
			return n, nil
		}
		if !bytes.HasPrefix(b[:n], []byte("*3\r\n$7\r\nmessage\r\n")) {
			return n, nil
		}
		if !c.detour.deaf.Load() {
			c.detour.heard.Add(1)
			return n, nil
		}
		c.detour.missed.Add(1)
	}
}

func (c *detourConn) Close() error {
	c.detour.mu.Lock()
	defer c.detour.mu.Unlock()
	if c.owes {
		c.closed = true
		return c.Conn.SetDeadline(time.Now()) // for who reads
	}
	return c.Conn.Close()
}

func (d *detour) keep(keeping bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keeping = keeping
}

// deliver sends what was kept, and returns when it was answered, or a moment later
// where its sender reads the answer still.
func (d *detour) deliver(t *testing.T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.kept {
		p.to.SetDeadline(time.Now().Add(time.Second))
		if _, err := p.to.Write(p.data); err != nil {
			t.Errorf("deliver: %v", err)
		}
		p.to.Read(make([]byte, 1<<10))
		p.to.Close()
	}
	d.kept = nil
}

// TestLatePacketsDoNothing has a server run a batch after those that were sent in
// its stead.
func TestLatePacketsDoNothing(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	d := new(detour)
	c := client.NewClient(&client.Options{Addr: s.Addr(), Dialer: d.dial})
	defer c.Close()
	ses := session(t, redis.New(c), 30*time.Second)
	apply(t, ses)
	for what, after := range map[string][]backend.Op{
		"released": {released(mutexOp(1, "a"))},
		"closed":   nil,
	} {
		d.keep(true)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		results, _, err := ses.Apply(ctx, []backend.Op{mutexOp(1, "a")})
		cancel()
		if err != nil || results[0].State != backend.Unknown {
			t.Fatalf("%v, %v; want Unknown", results, err)
		}
		d.keep(false)
		if after != nil {
			apply(t, ses, after...)
		} else if err := ses.Close(patient(t)); err != nil {
			t.Fatal(err)
		}
		d.deliver(t)
		if got := do(t, s, "EXISTS", "dlock:m:a"); got != "0" {
			t.Errorf("the lock is taken by an owner that was %s", what)
		}
		if after == nil {
			ses = session(t, redis.New(c), 30*time.Second)
			apply(t, ses)
		}
	}
}

// TestHeartbeatRepeatsWhatWasMissed loses the messages of a session that holds and
// waits.
func TestHeartbeatRepeatsWhatWasMissed(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	d := new(detour)
	c, plain := client.NewClient(&client.Options{Addr: s.Addr(), Dialer: d.dial}), client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	defer plain.Close()
	a, b := session(t, redis.New(c), 30*time.Second), session(t, redis.New(plain), 30*time.Second)
	apply(t, a, mutexOp(1, "held"))
	apply(t, b, mutexOp(1, "awaited"))
	apply(t, a, mutexOp(2, "awaited"))

	d.deaf.Store(true)
	apply(t, b, mutexOp(2, "held"), released(mutexOp(1, "awaited")))
	until(t, "two messages are lost", func() bool { return d.missed.Load() > 0 })
	apply(t, a)
	seen := make(map[backend.EventKind]uint64)
	for len(seen) < 2 {
		events, err := a.Recv(patient(t))
		if err != nil {
			t.Fatalf("%v; so far there was %v", err, seen)
		}
		for _, e := range events {
			seen[e.Kind] = e.Owner
		}
	}
	if seen[backend.EventContended] != 1 || seen[backend.EventGranted] != 2 {
		t.Errorf("the events are %v", seen)
	}
}

func TestOneFailedHeartbeatIsNoLoss(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	d := new(detour)
	c := client.NewClient(&client.Options{Addr: s.Addr(), Dialer: d.dial})
	defer c.Close()
	const ttl = 3 * time.Second
	ses := session(t, redis.New(c), ttl)
	first := apply(t, ses, mutexOp(1, "a"))[0].Grant
	d.keep(true)
	_, leases, err := ses.Apply(patient(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if l.Until.After(first.Lease.Until) {
			t.Error("a heartbeat without an answer has renewed the lease")
		}
	}
	d.keep(false)
	again := apply(t, ses, mutexOp(1, "a"))[0]
	if again.State != backend.Granted || again.Grant.Ordinal != first.Ordinal || !again.Grant.Lease.Until.After(first.Lease.Until) {
		t.Errorf("after a failed heartbeat and another: %+v; before %+v", again, first)
	}
}

// TestQuorumHearsBeforeItIsAnswered tells one who asks for a lock that it is free before
// the nodes' answers come, by which it is not.
func TestQuorumHearsBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	servers := startNodes(t, 3)
	d := new(detour)
	var clients []client.UniversalClient
	for _, s := range servers {
		c := client.NewClient(&client.Options{Addr: s.Addr(), Dialer: d.dial})
		defer c.Close()
		clients = append(clients, c)
	}
	holder := session(t, storeOn(t, servers, "t:"), 30*time.Second)
	waiter := session(t, redis.New(clients...).WithPrefix("t:"), 30*time.Second)
	apply(t, holder, mutexOp(1, "a"))
	// A majority is enough to begin with, and who has not joined yet is not asked.
	for i, s := range servers {
		until(t, fmt.Sprintf("both sessions are known to node %d", i), func() bool { return votes(t, s, "s") == 2 })
	}
	// Who has something to answer still is not asked for more.
	other := mutexOp(2, "b")
	for _, step := range []struct {
		op   backend.Op
		held int // locks, a included
	}{{other, 2}, {released(other), 1}} {
		apply(t, waiter, step.op)
		for i, s := range servers {
			until(t, fmt.Sprintf("node %d has been asked", i), func() bool {
				apply(t, waiter)
				return votes(t, s, "h") == step.held
			})
		}
	}
	until(t, "all nodes have answered", func() bool { return redis.Sizes(waiter)["asks"] == 0 })

	d.answers.Lock()
	answer := sync.OnceFunc(d.answers.Unlock)
	defer answer()
	state := make(chan backend.State, 1)
	go func() {
		results, _, err := waiter.Apply(t.Context(), []backend.Op{mutexOp(1, "a")})
		if err != nil {
			t.Error(err)
			results = make([]backend.Result, 1)
		}
		state <- results[0].State
	}()
	for i, s := range servers {
		until(t, fmt.Sprintf("node %d knows who waits", i), func() bool { return votes(t, s, "w") == 1 })
	}
	apply(t, holder, released(mutexOp(1, "a")))
	until(t, "all nodes have told", func() bool { return d.heard.Load() >= 3 })
	answer()

	switch s := <-state; s {
	case backend.Granted:
	case backend.Queued:
		events, err := waiter.Recv(patient(t)) // Nobody sends heartbeats here.
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != 1 || events[0].Kind != backend.EventGranted || events[0].Owner != 1 {
			t.Errorf("the events are %+v", events)
		}
	default:
		t.Fatalf("state %d", s)
	}
}
