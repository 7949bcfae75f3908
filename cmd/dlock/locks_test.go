//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

// Readers share the lock. A writer waits for them, and new readers wait for it.
func TestShared(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := s.holder("-s")
	second := s.holder("--shared", "-n")
	writer := s.sh("echo wrote; read line")
	s.waiting(1)
	s.sh("echo not reached", "-s", "-n").exits(75, "")
	third := s.sh("echo read", "-s")
	s.waiting(2)
	first.enter("")
	first.exits(0, "done\n")
	second.enter("")
	second.exits(0, "done\n")
	writer.expect("wrote")
	s.waiting(1)
	writer.enter("")
	writer.exits(0, "")
	third.exits(0, "read\n")
}

func TestSlots(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first, second := s.holder("--slots", "2"), s.holder("--slots=2")
	third := s.sh("echo third", "--slots", "2")
	s.waiting(1)
	s.sh("echo not reached", "--slots", "2", "-n").exits(75, "")
	disagreeing := s.sh("echo not reached", "--slots", "3", "-n")
	disagreeing.exits(64, "")
	disagreeing.complains("another number")
	second.enter("")
	second.exits(0, "done\n")
	third.exits(0, "third\n")
	first.enter("")
	first.exits(0, "done\n")
}

// Who wants another number of slots waits until nobody uses the present one.
func TestSlotsOfAnotherNumber(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	holder := s.holder("--slots", "2")
	waiter := s.sh("echo got", "--slots", "3")
	deadline := time.Now().Add(patience)
	for !strings.Contains(waiter.errors(), "another number") {
		if time.Now().After(deadline) {
			t.Fatal("the wait is not told")
		}
		time.Sleep(time.Millisecond)
	}
	hasty := s.sh("echo not reached", "--slots", "4", "-w", "3s")
	hasty.exits(75, "")
	hasty.says(`"demo" was not acquired within 3s: slots in use with another number: 2, not 4: held by `)
	s.sh("echo not reached", "--slots", "4", "-w", "1ms", "-q", "-E", "9").exits(9, "")
	holder.enter("")
	holder.exits(0, "done\n")
	waiter.exits(0, "got\n")
}

// What a wait was in vain for is told without what ended it.
func TestTrouble(t *testing.T) {
	t.Parallel()
	why := errors.New("dlock: no answer")
	for _, test := range []struct {
		err  error
		want string
	}{
		{context.DeadlineExceeded, ""},
		{fmt.Errorf("acquire: %w", context.DeadlineExceeded), ""},
		{fmt.Errorf("acquire: %w (%w)", context.DeadlineExceeded, why), ": no answer"},
		{fmt.Errorf("a: %w", errors.Join(fmt.Errorf("%w: %w", context.DeadlineExceeded, context.DeadlineExceeded), why)), ": no answer"},
	} {
		if got := trouble(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

// The lock, the slots and the mutex of a name are those of Go programs, and do not
// get in each other's way.
func TestLocksOfGoPrograms(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	c, err := dlock.New(file.New(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	all := map[string][]string{"lock": {}, "reader": {"-s"}, "mutex": {"--mutex"}, "slots": {"--slots", "1"}}
	for name, held := range map[string]struct {
		lock interface {
			Lock()
			Unlock()
		}
		excludes map[string]bool
	}{
		"RWMutex":   {c.RWMutex("demo"), map[string]bool{"lock": true, "reader": true}},
		"RLocker":   {c.RWMutex("demo").RLocker(), map[string]bool{"lock": true}},
		"Mutex":     {c.Mutex("demo"), map[string]bool{"mutex": true}},
		"Semaphore": {c.Semaphore("demo", 1), map[string]bool{"slots": true}},
	} {
		held.lock.Lock()
		for kind, flags := range all {
			code := 0
			if held.excludes[kind] {
				code = 75
			}
			t.Log(name, "and", kind)
			s.sh("true", append(flags, "-n")...).exits(code, "")
		}
		held.lock.Unlock()
	}
}

func TestFlockTakesPart(t *testing.T) {
	t.Parallel()
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("no flock(1) here")
	}
	for _, c := range []struct {
		class  backend.Class
		flags  []string
		shared bool // flock -s can have the file, too
	}{
		{backend.RWMutex, nil, false},
		{backend.RWMutex, []string{"-s"}, true},
		{backend.Mutex, []string{"--mutex"}, false},
	} {
		s := newStore(t)
		path := file.Path(s.dir, c.class, "demo")
		p := s.holder(c.flags...)
		if err := exec.Command(flock, "-n", path, "true").Run(); err == nil {
			t.Errorf("flock has the lock beside run %s", c.flags)
		}
		if err := exec.Command(flock, "-n", "-s", path, "true").Run(); (err == nil) != c.shared {
			t.Errorf("flock -s beside run %s: %v", c.flags, err)
		}
		p.enter("")
		p.exits(0, "done\n")
		other := launch(t, exec.Command(flock, path, "sh", "-c", "echo held; read line"))
		other.expect("held")
		s.sh("true", append(c.flags, "-n")...).exits(75, "")
		second := s.sh("echo mine", c.flags...)
		s.waiting(1)
		other.enter("")
		other.exits(0, "")
		second.exits(0, "mine\n")
	}
}

func TestConflictExitCode(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := s.holder()
	for _, code := range []int{0, 1, 255} {
		for _, flags := range [][]string{{"-n"}, {"-w", "10ms"}, {"-qn"}} {
			p := s.sh("echo not reached", append(flags, "-E", strconv.Itoa(code))...)
			p.exits(code, "")
			if flags[0] != "-qn" {
				p.complains("demo")
			} else if got := p.errors(); got != "" {
				t.Errorf("standard error is %q", got)
			}
		}
	}
	first.enter("")
	first.exits(0, "done\n")
	// It is for a conflict alone.
	s.sh("exit 75", "-n", "-E", "9").exits(75, "")
}

func TestVerbose(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := s.holder()
	second := s.sh("true", "-v")
	for deadline := time.Now().Add(patience); second.errors() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("dlock does not say that it waits")
		}
	}
	first.enter("")
	first.exits(0, "done\n")
	second.exits(0, "")
	second.says(`dlock: waiting for "demo": `, `dlock: have "demo" after `)
}
