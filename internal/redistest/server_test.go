package redistest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func do(t *testing.T, s *Server, args ...string) string {
	t.Helper()
	v, err := s.Do(args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(v)
}

func TestServerKeepsItsDataOrNot(t *testing.T) {
	s := New(t, "requirepass secret", "appendonly yes", "appendfsync always")
	do(t, s, "SET", "k", "v")
	addr := s.Addr()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := do(t, s, "GET", "k"); got != "v" || s.Addr() != addr {
		t.Errorf("after a restart k is %s at %s, was v at %s", got, s.Addr(), addr)
	}
	s.Stop()
	if s.PID() != 0 {
		t.Error("a stopped server has a process")
	}
	if err := s.RestartEmpty(); err != nil {
		t.Fatal(err)
	}
	if got := do(t, s, "DBSIZE"); got != "0" {
		t.Errorf("after an empty restart there are %s keys", got)
	}
}

func TestServerPauses(t *testing.T) {
	s := New(t)
	s.Pause()
	answer := make(chan error, 1)
	go func() { _, err := s.Do("PING"); answer <- err }()
	select {
	case err := <-answer:
		t.Errorf("a paused server answers: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.Resume()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	dir := s.Dir()
	s.Pause()
	s.Close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory of a closed server: %v", err)
	}
}

func TestServerSaysWhyItDoesNotStart(t *testing.T) {
	New(t) // skips where there is no Redis
	if s, err := Start("no-such-setting yes"); err == nil {
		s.Close()
		t.Error("started")
	} else if !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestCluster(t *testing.T) {
	c := NewCluster(t, 3, 0)
	if info := do(t, c.Masters[2], "CLUSTER", "INFO"); !strings.Contains(info, "cluster_slots_assigned:16384") {
		t.Error(info)
	}
}

func TestSentinelFailsOver(t *testing.T) {
	trio := NewTrio(t)
	trio.Master.Kill()
	if err := trio.Replica.await("role", "master"); err != nil {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	NewTLS(t, NewCertificate(t))
}
