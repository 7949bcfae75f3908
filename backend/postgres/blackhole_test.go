package postgres

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A hole passes connections on to a server, until it swallows them: then nothing
// comes through any more, not even their end.
type hole struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	server string  // to which connections lead that come
	pipes  []*pipe // in the order of their opening
	next   int     // how much of the next one comes through, or 0: all
	shut   bool
	deaf   bool // it takes no more connections
}

// A pipe is a connection through a hole.
type pipe struct {
	ends      [2]net.Conn
	most      int // what the server may say in one go, so many times, or 0: without end
	swallowed chan struct{}
	once      sync.Once
	hidden    atomic.Pointer[chan struct{}] // nil, or what is closed when the server may hear of the client's end
	late      atomic.Pointer[chan struct{}] // nil, or what lets the next of what the server says through
}

// delay keeps what the server says to the nth connection on its way. What is sent to
// the channel lets one piece through, and its close the rest.
func (h *hole) delay(n int) chan<- struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := make(chan struct{})
	h.pipes[n].late.Store(&next)
	return next
}

// refuse has the hole take no more connections.
func (h *hole) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf = true
}

// lead has the connections that come lead to another server.
func (h *hole) lead(to *fixture) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server = fmt.Sprintf("127.0.0.1:%d", to.server.Port())
}

// hide keeps from the server that the client of the nth connection has ended it, until
// the function that it returns is called.
func (h *hole) hide(r *fixture, n int) (show func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan struct{})
	h.pipes[n].hidden.Store(&c)
	show = sync.OnceFunc(func() { close(c) })
	r.Cleanup(show)
	return show
}

// shown returns what is closed when the server may hear of the client's end.
func (p *pipe) shown() <-chan struct{} {
	if c := p.hidden.Load(); c != nil {
		return *c
	}
	c := make(chan struct{})
	close(c)
	return c
}

func (p *pipe) swallow() { p.once.Do(func() { close(p.swallowed) }) }

func newHole(r *fixture) *hole {
	r.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	h := &hole{listener: l, server: fmt.Sprintf("127.0.0.1:%d", r.server.Port())}
	h.running.Go(h.accept)
	r.Cleanup(h.close)
	return h
}

func (h *hole) accept() {
	for {
		client, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		deaf, to := h.deaf, h.server
		h.mu.Unlock()
		if deaf {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p := &pipe{ends: [2]net.Conn{client, server}, swallowed: make(chan struct{})}
		h.mu.Lock()
		h.pipes = append(h.pipes, p)
		p.most, h.next = h.next, 0
		shut := h.shut
		h.mu.Unlock()
		if shut {
			p.close()
		}
		h.running.Go(func() { p.pass(client, server, 0) })
		h.running.Go(func() { p.pass(server, client, p.most) })
	}
}

// pass copies until the connection ends, or is swallowed; then it reads on, for
// keepalives to be answered, and tells nobody.
func (p *pipe) pass(from, to net.Conn, most int) {
	buf := make([]byte, 32<<10)
	for reads := 0; ; reads++ {
		n, err := from.Read(buf)
		if next := p.late.Load(); next != nil && from == p.ends[1] {
			<-*next
		}
		if most > 0 && reads == most {
			p.swallow()
		}
		select {
		case <-p.swallowed:
			if err != nil {
				return
			}
			continue
		default:
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			if from == p.ends[0] {
				<-p.shown()
			}
			p.close()
			return
		}
	}
}

func (p *pipe) close() {
	for _, c := range p.ends {
		_ = c.Close()
	}
}

// swallow swallows the connections that were opened after the first n.
func (h *hole) swallow(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pipes[n:] {
		p.swallow()
	}
}

// swallowNext has the next connection swallowed when the server has spoken n
// times.
func (h *hole) swallowNext(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = n
}

// swallowedLast reports whether the last connection is swallowed.
func (h *hole) swallowedLast() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.pipes[len(h.pipes)-1].swallowed:
		return true
	default:
		return false
	}
}

func (h *hole) opened() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pipes)
}

func (h *hole) close() {
	_ = h.listener.Close()
	h.mu.Lock()
	h.shut = true
	pipes := h.pipes
	h.mu.Unlock()
	for _, p := range pipes {
		p.close()
	}
	h.running.Wait()
}

// url returns the address of a server through the hole.
func (h *hole) url(r *fixture) string {
	return at(r.T, r.url(), h.listener.Addr().String())
}

func TestBlackHoleEndsHoldsInTime(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	r := newFixture(t)
	hole := newHole(r)
	c, other := r.client(hole.url(r), dlock.WithTTL(ttl)), r.client(r.url())
	h := r.acquire(c.Mutex("x"))
	granted := r.acquiring(other.Mutex("x"))
	r.waiters(1)
	start := time.Now()
	hole.swallow(0)
	r.loses(h)
	lost := time.Now()
	if lost.Sub(start) > ttl+2*time.Second {
		t.Errorf("the loss was told after %v", lost.Sub(start))
	}
	// The server ends a session that it hears nothing of. Not before it was told.
	h = comes(r, "grant", granted)
	if granted := time.Now(); granted.Before(lost) {
		t.Errorf("the lock was granted anew %v before its loss was told", lost.Sub(granted))
	}
	r.must(h.Release(r.ctx))
	r.must(r.acquire(c.Mutex("x")).Release(r.ctx)) // by a new session
}

// A connection that is being opened falls into the hole.
func TestBlackHoleWhileConnecting(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	hole := newHole(r)
	other := r.client(r.url())
	for after := range 8 {
		c := r.client(hole.url(r), dlock.WithTTL(2*time.Second))
		h := r.acquire(other.Mutex("x"))
		hole.swallowNext(after + 1)
		opened := hole.opened()
		granted := r.acquiring(c.Mutex("x"))
		r.until("a connection is being opened", func() bool { return hole.opened() > opened })
		r.until("it is as far as it gets", func() bool { return hole.swallowedLast() || r.waiting() == 1 })
		r.must(h.Release(r.ctx))
		r.must(comes(r, "grant", granted).Release(r.ctx))
		r.must(c.Close(r.ctx))
	}
}

// Only the connections that wait are in the hole; the one that holds is well.
func TestBlackHoleLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	for name, ended := range map[string]bool{"server hangs up": true, "server knows nothing": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t)
			hole := newHole(r)
			c, other := r.client(hole.url(r), dlock.WithTTL(2*time.Second)), r.client(r.url())
			h := r.acquire(other.Mutex("x"))
			read := r.acquire(other.RWMutex("x"))
			ticket := r.acquire(other.Semaphore("x", 1))
			kept := r.acquire(c.Mutex("kept"))
			waiting := []<-chan *dlock.Hold{r.acquiring(c.Mutex("x")), r.acquiring(c.RWMutex("x")), r.acquiring(c.Semaphore("x", 1))}
			r.waiters(2) // the semaphore's is at the gate
			r.until("all connections are there", func() bool { return hole.opened() >= 4 })
			hole.swallow(1)
			if ended {
				r.exec(r.watch, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
			}
			for _, h := range []*dlock.Hold{h, read, ticket} {
				r.must(h.Release(r.ctx))
			}
			for _, granted := range waiting {
				r.must(comes(r, "grant", granted).Release(r.ctx))
			}
			r.must(kept.Err())
			r.must(kept.Release(r.ctx))
		})
	}
}

// A wait session that has been asked whether it is alive sends nothing else until it
// has answered, so whoever it serves does not stand in a queue.
func TestNobodyQueuesBehindAPing(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	hole := newHole(r)
	const ttl = 2 * time.Second
	s, err := open(t, hole.url(r), WithConnections(2)).Open(r.ctx, ttl, backend.ClientInfo{})
	r.must(err)
	defer s.Close(r.ctx)
	apply := func(do backend.Do, owner uint64) backend.State {
		t.Helper()
		var ops []backend.Op
		if do != 0 {
			ops = []backend.Op{{Do: do, Class: backend.Mutex, Mode: backend.Exclusive, Wait: do == backend.Acquire, Owner: owner, Name: "x", Limit: 1}}
		}
		results, _, err := s.Apply(r.ctx, ops)
		r.must(err)
		if do == 0 {
			return 0
		}
		return results[0].State
	}
	other := r.client(r.url())
	h := r.acquire(other.Mutex("x"))
	if state := apply(backend.Acquire, 1); state != backend.Queued {
		t.Fatalf("state %d", state)
	}
	r.must(h.Release(r.ctx))
	events, err := s.Recv(r.ctx)
	r.must(err)
	if len(events) != 1 || events[0].Kind != backend.EventGranted {
		t.Fatalf("the events are %+v", events)
	}
	apply(backend.Release, 1)
	h = r.acquire(other.Mutex("x"))
	hole.swallow(1)
	time.Sleep(ttl / 3)
	apply(0, 0) // It has said nothing for so long that this pings it.
	if state := apply(backend.Acquire, 2); state == backend.Queued {
		t.Error("queued, and nothing was sent")
	}
	r.must(h.Release(r.ctx))
}

// The server gives a lock and is restarted before its client hears of it. In the
// meantime others have had the lock: the client must not be told that it holds it.
func TestGrantOfADeadServer(t *testing.T) {
	t.Parallel()
	r := newServer(t)
	hole := newHole(r)
	c, other := r.client(hole.url(r)), r.client(r.url())
	holders := r.backends()
	r.must(r.acquire(c.Mutex("x")).Release(r.ctx))
	for range 2 { // One wait in some is of another kind.
		h := r.acquire(other.Mutex("x"))
		granted := r.acquiring(c.Mutex("x"))
		r.waiters(1)
		r.must(h.Release(r.ctx))
		r.must(comes(r, "grant", granted).Release(r.ctx))
	}
	h := r.acquire(other.Mutex("x"))
	granted := r.acquiring(c.Mutex("x"))
	r.waiters(1)
	holder, waiter := hole.delay(0), hole.delay(1)
	free := sync.OnceFunc(func() { close(holder); close(waiter) })
	defer free()
	r.must(h.Release(r.ctx))
	r.until("the wait session has the lock", func() bool {
		return ask[bool](r, r.watch, "SELECT EXISTS(SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::int8 << 32 | objid::int8 = $1 AND NOT pid = ANY($2))", nameKey(backend.Mutex, "x").value, holders)
	})
	r.must(r.server.Restart())
	h = r.acquire(other.Mutex("x"))
	last, _ := h.Token()
	r.must(h.Release(r.ctx))
	waiter <- struct{}{} // It has its grant, and of the end of the server it will hear later.
	select {
	case h = <-granted:
	case <-time.After(200 * time.Millisecond):
		free()
		h = comes(r, "grant", granted)
	}
	if token, _ := h.Token(); token <= last {
		t.Errorf("token %d came after %d", token, last)
	}
	_ = h.Release(r.ctx) // It may be lost with the session.
}
