// Package pgtest starts real Postgres servers for tests, benchmarks and programs
// that put faults into them: single ones, a primary with streaming standbys, with
// TLS, and with PgBouncer in front.
//
// A server lives in a temporary directory, on a loopback port of its own, and does
// not outlive the process that started it, however that one ends. Started by root
// it runs as the user postgres, because Postgres refuses root.
package pgtest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The superuser of every server, the database to connect to, and the password,
// which is asked for over TCP. It is there to be looked for in what must not
// contain it.
const (
	User     = "postgres"
	Database = "postgres"
	Password = "secret-of-pgtest"
)

// ErrMissing is the cause of an error when Postgres or PgBouncer is not
// installed, or cannot run here.
var ErrMissing = errors.New("not available")

// New starts a server for a test or a benchmark, which is skipped where there is
// no Postgres. The server ends with the test, and the test shows the end of its
// log when it has failed.
func New(tb testing.TB, config Config) *Server {
	tb.Helper()
	s, err := Start(config)
	check(tb, err)
	own(tb, s)
	return s
}

// NewStandby is Server.Standby for a test or a benchmark. The standby ends with
// the test.
func NewStandby(tb testing.TB, primary *Server, config Config) *Server {
	tb.Helper()
	s, err := primary.Standby(config)
	check(tb, err)
	own(tb, s)
	return s
}

// NewPooler is StartPooler for a test or a benchmark, which is skipped where there
// is no PgBouncer. The pooler ends with the test.
func NewPooler(tb testing.TB, s *Server, mode PoolMode, settings map[string]string) *Pooler {
	tb.Helper()
	p, err := StartPooler(s, mode, settings)
	check(tb, err)
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// own ends a server with the test.
func own(tb testing.TB, s *Server) {
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("end of the log of the server on port %d:\n%s", s.Port(), s.Log())
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
}

// programs is where the programs of a Postgres server are: those in PATH, or the
// latest of the versions that Debian keeps beside each other.
var programs = sync.OnceValue(func() string {
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	dir, latest := "", 0
	for _, path := range found {
		var version int
		if _, err := fmt.Sscanf(path, "/usr/lib/postgresql/%d/", &version); err == nil && version > latest {
			dir, latest = filepath.Dir(path), version
		}
	}
	return dir
})

// program finds a program, first of all among those of the server.
func program(name string) (string, error) {
	if dir := programs(); dir != "" {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	// Root has a longer PATH than others where PgBouncer is.
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(path); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("pgtest: %s is %w: it is neither in PATH nor in /usr/lib/postgresql/*/bin (Debian has it in the packages postgresql and pgbouncer)", name, ErrMissing)
}
