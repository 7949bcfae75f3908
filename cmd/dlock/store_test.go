//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// A store is a directory with locks.
type store struct {
	t   *testing.T
	dir string
}

func newStore(t *testing.T) *store { return &store{t, t.TempDir()} }

// url names the store for --url.
func (s *store) url() string { return "file://" + s.dir }

// sh starts a script under the lock "demo", with flags for dlock before it.
func (s *store) sh(script string, flags ...string) *program {
	s.t.Helper()
	args := append([]string{"run", "--url", s.url()}, flags...)
	return start(s.t, append(args, "demo", "--", "sh", "-c", script)...)
}

// holder starts a command that holds the lock until a line is entered.
func (s *store) holder(flags ...string) *program {
	s.t.Helper()
	p := s.sh("echo held; read line; echo done", flags...)
	p.expect("held")
	return p
}

// waiting waits until n wait for the lock.
func (s *store) waiting(n int) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for s.waiters() != n {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d wait, want %d", s.waiters(), n)
		}
		time.Sleep(time.Millisecond)
	}
}

// waiters counts those who wait for a lock "demo". Who is told to wait has his
// place and stands there.
func (s *store) waiters() int {
	s.t.Helper()
	n := 0
	for class := backend.Mutex; class <= backend.Semaphore; class++ {
		_, waiters, err := file.New(s.dir).Inspect(s.t.Context(), class, "demo")
		if err != nil {
			s.t.Fatal(err)
		}
		n += len(waiters)
	}
	return n
}
