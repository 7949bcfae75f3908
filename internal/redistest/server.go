// Package redistest starts real Redis servers for tests, benchmarks and the
// like: one, a cluster, or a master with a replica under a Sentinel. They listen
// on the loopback interface, keep their data in a temporary directory, and end
// with the process that started them.
package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for a server. It is no measure of speed.
const patience = 30 * time.Second

// ErrMissing tells that redis-server is not installed.
var ErrMissing = errors.New("redis-server is not installed (Debian has it in the package redis-server)")

// A Server is a redis-server process, which keeps its address and its directory
// when it is started again. Its methods may be called from any goroutine.
type Server struct {
	// Immutable.
	dir      string
	config   []string
	env      []string // beside ours
	port     int
	bus      int // of a cluster
	tls      *Certificate
	sentinel bool
	password string

	mu      sync.Mutex
	process *process // nil when it does not run
	paused  bool
}

// Start starts a server. Each element of config is a line of redis.conf, such
// as "appendonly yes"; without such a line the server writes nothing to disk.
// Close stops the server and removes its data.
func Start(config ...string) (*Server, error) {
	return (&Server{config: config}).create()
}

// StartWith is Start of a server with variables in its environment beside ours.
func StartWith(env []string, config ...string) (*Server, error) {
	return (&Server{env: env, config: config}).create()
}

// StartTLS is Start of a server that accepts nothing but TLS.
func StartTLS(cert *Certificate, config ...string) (*Server, error) {
	return (&Server{config: config, tls: cert}).create()
}

// New is Start for a test, which ends the server. The test is skipped when
// redis-server is not installed.
func New(tb testing.TB, config ...string) *Server {
	tb.Helper()
	return must(tb)(Start(config...))
}

// NewTLS is StartTLS for a test.
func NewTLS(tb testing.TB, cert *Certificate, config ...string) *Server {
	tb.Helper()
	return must(tb)(StartTLS(cert, config...))
}

func must(tb testing.TB) func(*Server, error) *Server {
	return func(s *Server, err error) *Server {
		tb.Helper()
		check(tb, err)
		tb.Cleanup(func() { s.Close() })
		return s
	}
}

// check ends a test that a server could not be started for.
func check(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// create makes the server's directory, finds ports that are free, and starts it.
func (s *Server) create() (*Server, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, ErrMissing
	}
	for _, line := range s.config {
		if password, ok := strings.CutPrefix(line, "requirepass "); ok {
			s.password = password
		}
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "redistest"); err != nil {
		return nil, err
	}
	// A port that was free a moment ago may be taken by now.
	for attempt := 1; ; attempt++ {
		if s.port, s.bus, err = freePort(), freePort(), nil; s.port == 0 || s.bus == 0 {
			err = errors.New("redistest: no free port")
		}
		if err == nil {
			err = s.configure()
		}
		if err == nil {
			err = s.Start()
		}
		if err == nil {
			return s, nil
		}
		if attempt == 5 {
			os.RemoveAll(s.dir)
			return nil, err
		}
	}
}

// freePort returns a port that nobody listens on, outside the range that systems
// use for outgoing connections, or 0.
func freePort() int {
	for range 100 {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	return 0
}

// configure writes the configuration. A Sentinel rewrites it as it runs.
func (s *Server) configure() error {
	lines := []string{
		"bind 127.0.0.1",
		"dir " + s.dir,
		"logfile " + s.log(),
		"daemonize no",
		"unixsocket " + s.Socket(),
		"unixsocketperm 700",
	}
	if s.tls != nil {
		lines = append(lines, "port 0", fmt.Sprint("tls-port ", s.port), "tls-auth-clients no",
			"tls-cert-file "+s.tls.CertFile, "tls-key-file "+s.tls.KeyFile, "tls-ca-cert-file "+s.tls.CAFile)
	} else {
		lines = append(lines, fmt.Sprint("port ", s.port))
	}
	if !s.sentinel {
		lines = append(lines, `save ""`, fmt.Sprint("cluster-port ", s.bus), "repl-diskless-sync-delay 0")
	}
	lines = append(lines, s.config...)
	return os.WriteFile(s.conf(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

func (s *Server) conf() string { return filepath.Join(s.dir, "redis.conf") }
func (s *Server) log() string  { return filepath.Join(s.dir, "log") }

// Addr returns the address of the server, as "127.0.0.1:12345".
func (s *Server) Addr() string { return fmt.Sprint("127.0.0.1:", s.port) }

// Socket returns the path of the server's Unix socket, which it has beside its
// address and without TLS.
func (s *Server) Socket() string { return filepath.Join(s.dir, "sock") }

// Dir returns the directory of the server's data.
func (s *Server) Dir() string { return s.dir }

// PID returns the server's process, or 0 when it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// Start starts the server again, with the data that it has on disk, and returns
// when it accepts commands. A server that runs is left alone.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	os.Remove(s.Socket())
	args := []string{s.conf()}
	if s.sentinel {
		args = append(args, "--sentinel")
	}
	p, err := launch(args, s.env)
	if err != nil {
		return err
	}
	s.process, s.paused = p, false
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if _, err = s.Do("PING"); err == nil {
			return nil
		}
		if p.over() || time.Now().After(deadline) {
			s.kill()
			log, _ := os.ReadFile(s.log())
			return fmt.Errorf("redistest: the server does not start: %w\n%s%s", err, log, p.output.Bytes())
		}
	}
}

// Stop ends the server in good order, and with SIGKILL if it does not comply.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	s.resume()
	s.process.terminate()
	if !s.process.wait(patience) {
		s.process.cmd.Process.Kill()
		s.process.wait(patience)
	}
	s.process = nil
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	if s.process == nil {
		return
	}
	s.process.cmd.Process.Kill() // reaches a stopped process, too
	s.process.wait(patience)
	s.process = nil
}

// Restart kills the server and starts it again, with what it has on disk.
func (s *Server) Restart() error {
	s.Kill()
	return s.Start()
}

// RestartEmpty kills the server and starts it again without its data.
func (s *Server) RestartEmpty() error {
	s.Kill()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path := filepath.Join(s.dir, e.Name()); path != s.conf() && path != s.log() {
			os.RemoveAll(path)
		}
	}
	return s.Start()
}

// Pause stops the server with SIGSTOP: it keeps its connections and says nothing.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && !s.paused {
		s.paused = true
		s.process.stop()
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume()
}

func (s *Server) resume() {
	if s.process != nil && s.paused {
		s.paused = false
		s.process.proceed()
	}
}

// Close kills the server and removes its data.
func (s *Server) Close() {
	s.Kill()
	os.RemoveAll(s.dir)
}
