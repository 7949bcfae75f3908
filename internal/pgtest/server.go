package pgtest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Config says how a server is to be. The zero Config is that of initdb, with
// fsync on.
type Config struct {
	// Settings go into postgresql.conf, as they would be written there between
	// quotes: {"fsync": "off", "max_connections": "10"}.
	Settings map[string]string
	// TLS gives the server a certificate; Server.Certificate is its file.
	TLS bool
	// Trust lets the server ask nobody for the password. To prove that it knows one
	// costs a client thousands of hashes for each connection, and under the race
	// detector more than all the rest of a short test.
	Trust bool
}

// A Server is a Postgres server in a directory of its own. Its methods may be
// called from any goroutine; those that start and end it wait for each other.
type Server struct {
	// Immutable.
	home *home
	port int
	tls  bool

	creating sync.Mutex // held by CreateDatabase: one at a time can copy a database

	mu      sync.Mutex
	running *daemon // nil when it does not run
	paused  []int   // its processes while they are stopped
}

// Start starts a server. It is up when Start returns, and has to be closed.
func Start(config Config) (*Server, error) {
	c, err := cluster()
	if err != nil {
		return nil, err
	}
	return create(config, func(h *home) error { return c.write(h.path("data")) })
}

// create starts a server on the data directory that fill makes.
func create(config Config, fill func(h *home) error) (*Server, error) {
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	if err := fill(h); err != nil {
		return nil, errors.Join(err, h.close())
	}
	// Somebody may take the port before the server does.
	for {
		var again bool
		s := &Server{home: h, tls: config.TLS}
		if s.port, err = takePort(); err == nil {
			if err = s.configure(config); err == nil {
				if err = s.Restart(); err == nil {
					return s, nil
				}
				again = strings.Contains(s.Log(), "could not bind IPv4 address")
			}
			freePort(s.port)
		}
		if !again {
			return nil, errors.Join(err, h.close())
		}
		_ = os.Remove(h.path("log"))
	}
}

// configure writes the files by which the server is configured.
func (s *Server) configure(config Config) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": s.home.dir,
		"log_line_prefix":         "%m [%p] %d %a ",
	}
	if config.TLS {
		certificate, key, err := selfSigned()
		if err != nil {
			return err
		}
		if err := errors.Join(s.home.write("server.crt", certificate), s.home.write("server.key", key)); err != nil {
			return err
		}
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = s.home.path("server.crt")
		settings["ssl_key_file"] = s.home.path("server.key")
	}
	if config.Trust {
		if err := s.home.write("data/pg_hba.conf", trusting); err != nil {
			return err
		}
	}
	maps.Copy(settings, config.Settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	return s.home.write("data/postgresql.conf", text.String())
}

// trusting is the pg_hba.conf of a server that asks for no password.
const trusting = `local all         all              trust
local replication all              trust
host  all         all 127.0.0.1/32 trust
host  replication all 127.0.0.1/32 trust
`

// Restart starts the server on its port again. One that runs is stopped first.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.end(sigInt); err != nil {
		return err
	}
	path, err := program("postgres")
	if err != nil {
		return err
	}
	d, err := s.home.launch("log", path, "-D", s.home.path("data"))
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.running = d
	err = wait("the start of Postgres", func() (bool, error) {
		if d.gone() {
			return false, fmt.Errorf("pgtest: Postgres does not start:\n%s", s.Log())
		}
		return s.ready(d.pid()), nil
	})
	if err != nil {
		return errors.Join(err, s.end(sigQuit))
	}
	return nil
}

// ready reads in the server's own file whether it answers; a standby that is
// ready answers what is asked of a standby.
func (s *Server) ready(pid int) bool {
	text, err := os.ReadFile(s.home.path("data/postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || lines[0] != strconv.Itoa(pid) {
		return false // that of the server before
	}
	status := strings.TrimSpace(lines[7])
	return status == "ready" || status == "standby"
}

// end ends the server by a signal, if it runs.
func (s *Server) end(by signalNumber) error {
	if s.running == nil {
		return nil
	}
	var err error
	if by == sigKill {
		s.paused = nil // none of them does anything more
	} else {
		err = s.wake()
	}
	if !s.running.gone() {
		err = errors.Join(err, s.strike(by))
	}
	if err := s.running.awaitEnd(); err != nil {
		return err
	}
	s.running = nil
	return err
}

// strike sends the main process a signal, and with sigKill all others as well:
// what that leaves of a server keeps the next one from starting.
func (s *Server) strike(by signalNumber) error {
	pid := s.running.pid()
	if by != sigKill {
		return signal(pid, by)
	}
	// A stopped main process makes no further ones.
	if err := signal(pid, sigStop); err != nil {
		return err
	}
	others, err := children(pid)
	err = errors.Join(err, signal(pid, sigKill))
	for _, other := range others {
		_ = signal(other, sigKill) // it may have ended
	}
	return errors.Join(err, wait("the end of killed processes", func() (bool, error) {
		return !slices.ContainsFunc(others, alive), nil
	}))
}

// Stop stops the server in order; it breaks its connections off.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(sigInt)
}

// Kill ends all processes of the server as a failure of the machine would, except
// that what is in the system's cache stays there.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(sigKill)
}

// Pause stops all processes of the server with SIGSTOP. Its connections stay, and
// new ones are accepted by the system, but nobody answers.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return errors.New("pgtest: a server that does not run cannot be paused")
	}
	if s.paused != nil {
		return nil
	}
	// A stopped main process makes no further ones.
	pid := s.running.pid()
	if err := signal(pid, sigStop); err != nil {
		return err
	}
	others, err := children(pid)
	if err != nil {
		return errors.Join(err, signal(pid, sigCont))
	}
	s.paused = append(others, pid)
	if err := s.home.keep(s.paused...); err != nil {
		return err
	}
	for _, other := range others {
		_ = signal(other, sigStop) // it may have ended
	}
	return nil
}

// Resume lets a paused server go on.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake()
}

func (s *Server) wake() error {
	if s.paused == nil {
		return nil
	}
	for _, pid := range s.paused {
		_ = signal(pid, sigCont) // it may have been killed
	}
	s.paused = nil
	return s.home.keep(s.running.pid())
}

// Reload has the server read its configuration again.
func (s *Server) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return errors.New("pgtest: a server that does not run cannot be reloaded")
	}
	return signal(s.running.pid(), sigHup)
}

// Close ends the server and removes its directory. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.end(sigQuit)
	freePort(s.port)
	return errors.Join(err, s.home.close())
}

// SQL runs statements as the superuser and returns the rows, their columns with |
// between them. It uses psql: programs that measure have connections of their own.
func (s *Server) SQL(statements string) (string, error) {
	return s.home.run("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1",
		"--host="+s.home.dir, "--port="+strconv.Itoa(s.port), "--username="+User, "--dbname="+Database, "--command="+statements)
}

// Port returns the port of the server on 127.0.0.1. It stays the same.
func (s *Server) Port() int { return s.port }

// PID returns the number of the server's main process, or 0 while it is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return 0
	}
	return s.running.pid()
}

// Dir returns the directory of the server. Its Unix socket is there, and asks for
// no password; the data are in the directory data.
func (s *Server) Dir() string { return s.home.dir }

// Certificate returns the file with the server's certificate, which is its own
// issuer and names 127.0.0.1 and localhost. It is "" without TLS.
func (s *Server) Certificate() string {
	if !s.tls {
		return ""
	}
	return s.home.path("server.crt")
}

// Log returns the end of what the server wrote.
func (s *Server) Log() string { return s.home.tail("log") }
