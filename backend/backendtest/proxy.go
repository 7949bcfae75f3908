package backendtest

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Proxy passes TCP connections on to a server, and fails on demand. It is for
// Harness.Fault of drivers whose store is reached by a network: see [Through].
type Proxy struct {
	// Immutable.
	listener net.Listener
	server   string // its address
	running  sync.WaitGroup

	mu       sync.Mutex
	changed  sync.Cond // of all that follows, and of the queues of the links
	delay    time.Duration
	paused   bool
	closed   bool
	changing int // calls of change that wait for writes to end; none begins meanwhile
	writing  int // writes that are under way
	links    map[*link]bool
}

// A link is one connection through a Proxy.
type link struct {
	proxy  *Proxy
	client net.Conn
	toward way // the server
	back   way

	// Guarded by proxy.mu.
	server net.Conn // nil before it is dialed
	state  linkState
}

// linkState is what has become of a link.
type linkState uint8

const (
	linked   linkState = iota // to both sides
	stranded                  // cut while it was paused: the server knows nothing of it
	cut                       // what is on its way to the server arrives, and then its end
)

// A way is what is sent on a link in one direction and has not arrived.
type way struct {
	queue []piece
	over  bool // nothing follows, and nobody is to be told
}

// A piece is what was sent in one go. One without data is the end.
type piece struct {
	sent time.Time
	data []byte
}

// NewProxy returns a Proxy to the server at an address such as "127.0.0.1:6379". It
// ends with the test.
func NewProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: l, server: server, links: make(map[*link]bool)}
	p.changed.L = &p.mu
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is the address to connect to in place of the server's.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Delay has what the server says arrive d later; see [Between].
func (p *Proxy) Delay(d time.Duration) {
	p.change(func() { p.delay = d })
}

// Pause lets nothing through, until Resume; see [Between].
func (p *Proxy) Pause() {
	p.change(func() { p.paused = true })
}

// Resume lets through what was sent meanwhile, and what comes.
func (p *Proxy) Resume() {
	p.change(func() { p.paused = false })
}

// Cut ends all connections; see [Between].
func (p *Proxy) Cut() (late func()) {
	var left []*link
	p.change(func() {
		for l := range p.links {
			if l.state != linked {
				continue
			}
			l.state = cut
			if p.paused {
				l.state = stranded
				left = append(left, l)
			}
			l.back.over = true
			l.hangUp()
		}
	})
	return func() {
		p.change(func() {
			for _, l := range left {
				l.state = cut
			}
		})
		p.mu.Lock()
		defer p.mu.Unlock()
		for slices.ContainsFunc(left, func(l *link) bool { return p.links[l] }) {
			p.changed.Wait() // for what it had said to have arrived
		}
	}
}

// drain is how long a connection that was cut is read from, so that what the driver
// had said before is not lost.
const drain = 50 * time.Millisecond

// hangUp ends the connection to the driver, when all is read that it had said.
func (l *link) hangUp() {
	if c, ok := l.client.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	_ = l.client.SetReadDeadline(time.Now().Add(drain))
}

// change changes how the proxy behaves. When it returns, nothing arrives any more
// that was let through before.
func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changing++
	p.changed.Broadcast()
	for p.writing > 0 {
		p.changed.Wait()
	}
	p.changing--
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := &link{proxy: p, client: client}
		p.mu.Lock()
		p.links[l] = true
		if p.closed {
			_ = client.Close()
		}
		p.mu.Unlock()
		p.running.Go(func() {
			p.read(client, &l.toward)
			p.mu.Lock()
			defer p.mu.Unlock()
			if l.state != linked {
				_ = client.Close()
			}
		})
		p.running.Go(l.run)
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		_ = l.client.Close()
		if l.server != nil {
			_ = l.server.Close()
		}
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	p.running.Wait()
}

// read puts what comes on its way, and at last its end.
func (p *Proxy) read(from net.Conn, w *way) {
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		p.mu.Lock()
		if n > 0 {
			w.queue = append(w.queue, piece{time.Now(), buf[:n]})
		}
		if err != nil {
			w.queue = append(w.queue, piece{sent: time.Now()})
		}
		p.changed.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// run connects to the server as soon as something passes, and then writes to it.
func (l *link) run() {
	p := l.proxy
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.changed.Broadcast()
		p.mu.Unlock()
	}()
	p.mu.Lock()
	for !p.closed && !l.passes() {
		p.changed.Wait()
	}
	over := p.closed
	p.mu.Unlock()
	if over {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = l.client.Close()
		return
	}
	p.mu.Lock()
	l.server = server
	if p.closed {
		_ = server.Close()
	}
	p.mu.Unlock()
	var answers sync.WaitGroup
	answers.Go(func() { p.read(server, &l.back) })
	answers.Go(func() {
		p.write(l.client, &l.back, func() time.Duration {
			if p.paused {
				return -1
			}
			return p.delay
		})
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.state == linked {
			_ = l.client.Close()
		}
	})
	p.write(server, &l.toward, func() time.Duration {
		if !l.passes() {
			return -1
		}
		return 0
	})
	_ = server.Close()
	p.mu.Lock()
	// Who has hung up hears no answer; one that could not be written to may have said
	// why.
	l.back.over = l.back.over || !l.toward.over
	p.changed.Broadcast()
	p.mu.Unlock()
	answers.Wait()
}

// passes reports whether the server is sent what comes. proxy.mu is held.
func (l *link) passes() bool {
	return l.state == cut || l.state == linked && !l.proxy.paused
}

// write delivers what is on its way, to its end. late tells how long that takes, or
// less than nothing if it does not arrive for now.
func (p *Proxy) write(to net.Conn, w *way, late func() time.Duration) {
	for {
		data := p.next(w, late)
		if data == nil {
			return
		}
		_, err := to.Write(data)
		p.mu.Lock()
		p.writing--
		w.over = w.over || err != nil
		p.changed.Broadcast()
		p.mu.Unlock()
	}
}

// next waits for what arrives next, and counts it as being written. It returns nil at
// the end.
func (p *Proxy) next(w *way, late func() time.Duration) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && !w.over {
		d := late()
		if p.changing > 0 || len(w.queue) == 0 || d < 0 {
			p.changed.Wait()
			continue
		}
		if left := time.Until(w.queue[0].sent.Add(d)); d > 0 && left > 0 {
			soon := time.AfterFunc(left, p.changed.Broadcast)
			p.changed.Wait()
			soon.Stop()
			continue
		}
		next := w.queue[0]
		w.queue = w.queue[1:]
		if next.data != nil {
			p.writing++
		}
		return next.data
	}
	return nil
}
