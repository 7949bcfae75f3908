package testbed

import (
	"net"
	"sync"
	"time"
)

// A proxy passes connections on to a server, whose answers it holds back for a
// while.
type proxy struct {
	listener net.Listener
	server   string
	delay    time.Duration

	mu     sync.Mutex
	conns  map[net.Conn]bool
	cut    bool // it takes no more connections
	silent bool // nothing comes through any more, not even that a connection has ended
}

func newProxy(server string, delay time.Duration) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, server: server, delay: delay, conns: make(map[net.Conn]bool)}
	go p.accept()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// accept ends with the listener.
func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.link(client)
	}
}

// link joins a client with the server until one of them goes.
func (p *proxy) link(client net.Conn) {
	if !p.add(client) {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		p.drop(client)
		return
	}
	if !p.add(server) {
		return
	}
	go p.pass(client, server, 0)
	p.pass(server, client, p.delay)
}

// A piece is what was said in one go.
type piece struct {
	due  Instant
	data []byte
}

// pass passes on what one side says, that it ends among it.
func (p *proxy) pass(from, to net.Conn, delay time.Duration) {
	said := make(chan piece, 1024)
	go p.deliver(to, said)
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		if n > 0 {
			said <- piece{Now().Add(delay), buf[:n]}
		}
		if err != nil {
			close(said)
			return
		}
	}
}

// deliver ends when there is nothing more to be said.
func (p *proxy) deliver(to net.Conn, said <-chan piece) {
	for s := range said {
		s.due.await()
		if !p.isSilent() {
			_, _ = to.Write(s.data) // An error shows when it is read from.
		}
	}
	if !p.isSilent() {
		p.drop(to)
	}
}

// add notes a connection, or closes it when there are to be none.
func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *proxy) isSilent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// close ends all connections.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		_ = c.Close()
	}
}
