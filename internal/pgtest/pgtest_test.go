package pgtest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// quick is for servers whose data need not survive anything.
var quick = Config{Settings: map[string]string{"fsync": "off"}}

const orders = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(orders) != "" {
		leave()
	}
	os.Exit(m.Run())
}

func ask(t *testing.T, s *Server, query, want string) {
	t.Helper()
	got, err := s.SQL(query)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("%s: %q instead of %q", query, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServerKeepsItsDataAndPort(t *testing.T) {
	t.Parallel()
	s := New(t, Config{Settings: map[string]string{"max_connections": "7", "application_name": "it's"}})
	ask(t, s, "SHOW max_connections", "7")
	ask(t, s, "SHOW fsync", "on")
	ask(t, s, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)", "")
	port := s.Port()
	for _, step := range []struct {
		name string
		end  func() error
	}{{"stop", s.Stop}, {"kill", s.Kill}, {"none", func() error { return nil }}} {
		must(t, step.end())
		if _, err := s.SQL("SELECT 1"); (err == nil) != (step.name == "none") {
			t.Fatalf("after %s a query says %v", step.name, err)
		}
		must(t, s.Restart())
		ask(t, s, "SELECT n FROM kept", "1")
		if s.Port() != port {
			t.Fatalf("port %d has become %d", port, s.Port())
		}
	}
	dir := s.Dir()
	must(t, s.Stop())
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := Start(quick)
	check(t, err)
	pid := s.PID()
	must(t, s.Pause())
	must(t, s.Close())
	must(t, s.Close())
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of a closed server: %v", err)
	}
	if alive(pid) {
		t.Error("a closed server runs")
	}
}

func TestBadSettingIsAnErrorWithTheLog(t *testing.T) {
	t.Parallel()
	s, err := Start(Config{Settings: map[string]string{"max_connections": "many"}})
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err == nil {
		_ = s.Close()
		t.Fatal("a server with max_connections=many has started")
	}
	if !strings.Contains(err.Error(), `invalid value for parameter "max_connections"`) {
		t.Error(err)
	}
}

func TestPausedServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := New(t, quick)
	must(t, s.Pause())
	c, err := net.Dial("tcp", address(s.Port()))
	must(t, err)
	defer c.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := s.SQL("SELECT 1")
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a paused server has answered: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	must(t, s.Resume())
	must(t, <-answered)
	must(t, s.Pause())
	must(t, s.Kill())
	must(t, s.Restart())
	ask(t, s, "SELECT 1", "1")
}

func TestReload(t *testing.T) {
	t.Parallel()
	s := New(t, quick)
	ask(t, s, "ALTER SYSTEM SET work_mem = '5MB'", "")
	must(t, s.Reload())
	must(t, wait("the new setting", func() (bool, error) {
		got, err := s.SQL("SHOW work_mem")
		return got == "5MB", err
	}))
}

func TestDatabasesOfOneServer(t *testing.T) {
	t.Parallel()
	s := New(t, quick)
	ask(t, s, "CREATE TABLE copied (n int); INSERT INTO copied VALUES (1)", "")
	created := make(chan error)
	for _, name := range []string{"a", "b"} {
		go func() { created <- s.CreateDatabase(name) }()
	}
	must(t, <-created)
	must(t, <-created)
	got, err := s.home.run("psql", "--no-align", "--tuples-only", "--command=SELECT n, current_database() FROM copied", s.DatabaseURL("b"))
	if err != nil || got != "1|b" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStandbyFollowsAndIsPromoted(t *testing.T) {
	t.Parallel()
	primary := New(t, quick)
	ask(t, primary, "CREATE TABLE followed (n int)", "")
	standby := NewStandby(t, primary, quick)
	ask(t, primary, "INSERT INTO followed VALUES (1)", "")
	must(t, standby.CatchUp(primary))
	ask(t, standby, "SELECT n FROM followed", "1")
	ask(t, standby, "SELECT pg_is_in_recovery()", "t")
	must(t, primary.Kill())
	must(t, standby.Promote())
	ask(t, standby, "INSERT INTO followed VALUES (2) RETURNING n", "2")
	ask(t, standby, "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", "00000002")
	if url := URL([]*Server{primary, standby}, "target_session_attrs=primary"); !strings.Contains(url, fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d/", primary.Port(), standby.Port())) {
		t.Error(url)
	}
}

func TestCertificateNamesTheServer(t *testing.T) {
	t.Parallel()
	s := New(t, Config{Settings: quick.Settings, TLS: true})
	c, err := net.Dial("tcp", address(s.Port()))
	must(t, err)
	defer c.Close()
	_, err = c.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest
	must(t, err)
	answer := make([]byte, 1)
	if _, err = c.Read(answer); err != nil || answer[0] != 'S' {
		t.Fatalf("%q, %v", answer, err)
	}
	text, err := os.ReadFile(s.Certificate())
	must(t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate: %s", text)
	}
	must(t, tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}).Handshake())
}

func TestPooler(t *testing.T) {
	t.Parallel()
	s := New(t, quick)
	p := NewPooler(t, s, TransactionPooling, map[string]string{"default_pool_size": "3"})
	got, err := s.home.run("psql", "--no-align", "--tuples-only", "--command=SELECT 1", p.URL())
	if err != nil || got != "1" {
		t.Fatalf("%q, %v\n%s", got, err, p.Log())
	}
	admin := strings.Replace(p.URL(), "/"+Database, "/pgbouncer", 1)
	if got, err := s.home.run("psql", "--no-align", "--tuples-only", "--command=SHOW VERSION", admin); err == nil {
		t.Errorf("anybody is an administrator: %s", got)
	}
}

func TestWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	s := New(t, quick)
	url := strings.Replace(s.URL(), Password, "guess", 1)
	if _, err := s.home.run("psql", "--command=SELECT 1", url); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Error(err)
	}
}

// leave is the child of TestNothingOutlivesAKilledProcess.
func leave() {
	s, err := Start(quick)
	if err == nil && os.Getenv(orders) == "paused" {
		err = s.Pause()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID())
	fmt.Println(s.Dir())
	select {}
}

func TestNothingOutlivesAKilledProcess(t *testing.T) {
	t.Parallel()
	check(t, func() error { _, err := program("postgres"); return err }())
	for _, state := range []string{"running", "paused"} {
		t.Run(state, func(t *testing.T) {
			self, err := os.Executable()
			must(t, err)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), orders+"="+state)
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			defer cmd.Wait()
			defer cmd.Process.Kill()
			lines := bufio.NewScanner(out)
			lines.Scan()
			pid, err := strconv.Atoi(lines.Text())
			must(t, err)
			lines.Scan()
			dir := lines.Text()
			if !alive(pid) {
				t.Fatal("the child's server does not run")
			}
			others, err := children(pid)
			must(t, err)
			if len(others) < 3 {
				t.Fatalf("a server of %d processes", len(others))
			}
			must(t, cmd.Process.Kill())
			for _, pid := range append(others, pid) {
				must(t, wait("the end of a server", func() (bool, error) { return !alive(pid), nil }))
			}
			must(t, wait("the end of a directory", func() (bool, error) {
				_, err := os.Stat(dir)
				return errors.Is(err, os.ErrNotExist), nil
			}))
		})
	}
}
