// Package register is what the locks of a run protect: two numbers for each
// name, kept by a process that no fault reaches. Holders increment them by
// reading and writing, as unsafely as can be. The fenced one remembers the
// greatest token that it has seen and refuses who comes with a smaller one; the
// plain one believes everybody.
package register

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// Request kinds.
const (
	read uint8 = iota + 1
	write
)

// A Count is what became of the increments of one register.
type Count struct {
	Value    int64 // what it says
	Accepted int64 // how many writes it took: each was to add 1
	Refused  int64 // how many writes it refused for their tokens
}

// Lost is how many accepted writes are not in the value.
func (c Count) Lost() int64 { return c.Accepted - c.Value }

type register struct {
	fenced, plain Count
	token         uint64
}

// A Server keeps registers, one pair for each name.
type Server struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu        sync.Mutex
	registers map[int32]*register
	conns     map[net.Conn]bool
}

// Listen starts a server on a socket of that path.
func Listen(path string) (*Server, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, registers: make(map[int32]*register), conns: make(map[net.Conn]bool)}
	s.serving.Add(1)
	go s.accept()
	return s, nil
}

// Close ends the server and returns when its goroutines are gone.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// Counts returns what became of the registers of a name.
func (s *Server) Counts(name int) (fenced, plain Count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.registers[int32(name)]; r != nil {
		return r.fenced, r.plain
	}
	return Count{}, Count{}
}

func (s *Server) accept() {
	defer s.serving.Done()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.serving.Add(1)
		go s.serve(c)
	}
}

func (s *Server) serve(c net.Conn) {
	defer s.serving.Done()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		_ = c.Close()
	}()
	var in [requestSize]byte
	var out [answerSize]byte
	for {
		if _, err := io.ReadFull(c, in[:]); err != nil {
			return
		}
		q := parse(in[:])
		a := s.do(q)
		binary.LittleEndian.PutUint64(out[0:], uint64(a.fenced))
		binary.LittleEndian.PutUint64(out[8:], uint64(a.plain))
		if _, err := c.Write(out[:]); err != nil {
			return
		}
	}
}

// do answers a read with the values, and a write with what they are after it.
func (s *Server) do(q request) values {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.registers[q.name]
	if r == nil {
		r = new(register)
		s.registers[q.name] = r
	}
	// A read raises the token too: what was read must not be overwritten by
	// somebody whose time was over before.
	stale := q.token < r.token
	r.token = max(r.token, q.token)
	if q.do == write {
		r.plain.Value = q.values.plain
		r.plain.Accepted++
		switch {
		case q.token == 0: // The store has no tokens.
		case stale:
			r.fenced.Refused++
		default:
			r.fenced.Value = q.values.fenced
			r.fenced.Accepted++
		}
	}
	return values{r.fenced.Value, r.plain.Value}
}
