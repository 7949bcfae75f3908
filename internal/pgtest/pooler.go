package pgtest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A PoolMode is for how long a client of PgBouncer keeps a connection.
type PoolMode string

// The modes of PgBouncer.
const (
	SessionPooling     PoolMode = "session"
	TransactionPooling PoolMode = "transaction"
	StatementPooling   PoolMode = "statement"
)

// A Pooler is PgBouncer in front of a server.
type Pooler struct {
	// Immutable.
	home    *home
	port    int
	running *daemon

	mu sync.Mutex // held by Close
}

// StartPooler starts PgBouncer. settings go into pgbouncer.ini. It has to be
// closed.
func StartPooler(s *Server, mode PoolMode, settings map[string]string) (*Pooler, error) {
	path, err := program("pgbouncer")
	if err != nil {
		return nil, err
	}
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	p := &Pooler{home: h}
	if p.port, err = takePort(); err == nil {
		if err = p.start(path, s, mode, settings); err != nil {
			freePort(p.port)
		}
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return p, nil
}

func (p *Pooler) start(path string, s *Server, mode PoolMode, settings map[string]string) error {
	all := map[string]string{
		"listen_addr":     "127.0.0.1",
		"listen_port":     strconv.Itoa(p.port),
		"unix_socket_dir": "",
		"auth_type":       "scram-sha-256",
		"auth_file":       p.home.path("users"),
		"pool_mode":       string(mode),
	}
	maps.Copy(all, settings)
	var text strings.Builder
	fmt.Fprintf(&text, "[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\n", s.Port())
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, all[name])
	}
	err := errors.Join(
		p.home.write("users", fmt.Sprintf("%q %q\n", User, Password)),
		p.home.write("pgbouncer.ini", text.String()))
	if err != nil {
		return err
	}
	if p.running, err = p.home.launch("log", path, p.home.path("pgbouncer.ini")); err != nil {
		return err
	}
	return wait("the start of PgBouncer", func() (bool, error) {
		if p.running.gone() {
			return false, fmt.Errorf("pgtest: PgBouncer does not start:\n%s", p.Log())
		}
		c, err := net.Dial("tcp", address(p.port))
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
}

// Close ends the pooler and the connections through it. A second Close does
// nothing.
func (p *Pooler) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if !p.running.gone() {
		err = signal(p.running.pid(), sigQuit)
	}
	if err := p.running.awaitEnd(); err != nil {
		return err
	}
	freePort(p.port)
	return errors.Join(err, p.home.close())
}

// Port returns the port of the pooler on 127.0.0.1.
func (p *Pooler) Port() int { return p.port }

// URL is Server.URL through the pooler.
func (p *Pooler) URL(parameters ...string) string { return p.DatabaseURL(Database, parameters...) }

// DatabaseURL is Server.DatabaseURL through the pooler.
func (p *Pooler) DatabaseURL(name string, parameters ...string) string {
	return databaseURL(name, parameters, p.port)
}

// Log returns the end of what the pooler wrote.
func (p *Pooler) Log() string { return p.home.tail("log") }
