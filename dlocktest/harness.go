// Package dlocktest runs the public API of dlock over a backend: what a program
// may rely on whatever store its locks are kept in. It is the other half of
// backend/backendtest, which holds the driver to its contract.
//
// A driver joins with one test, and, if processes share its store, a TestMain:
//
//	func TestMain(m *testing.M) { dlocktest.Main(m) }
//
//	func TestClients(t *testing.T) {
//		dir := t.TempDir()
//		dlocktest.Run(t, dlocktest.Harness{
//			Backend: func(*testing.T) backend.Backend { return file.New(dir) },
//			URL:     "file://" + dir,
//		})
//	}
//
// Random tests print their seed when they fail and take it by -dlocktest.seed.
package dlocktest

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A Harness tells the suite how to reach a store. All clients of one Harness
// share the store; the suite gives every test names of its own in it.
type Harness struct {
	// Backend makes one more Backend on the store. Each stands for a process of
	// its own, though a driver within one process may well return the same twice.
	Backend func(t *testing.T) backend.Backend

	// URL names the store to child processes, by the scheme of a driver that the
	// test binary imports. It is set if and only if the driver claims
	// Caps.Processes, and then the binary's TestMain has to call Main.
	URL string

	// Lose takes a lock away from who holds it, all of them, behind the driver's back,
	// as when the store's data are lost or a connection is killed at the store: when
	// it returns, the store may grant the lock to others. b is a Backend that Backend
	// returned, and name the name that it knows the lock by. nil stands for a store
	// where that cannot happen, and the checks of it are skipped.
	Lose func(t *testing.T, b backend.Backend, class backend.Class, name string)

	// Vague is set for a store whose Inspect does not know, of those who hold a lock,
	// since when and with what token. What the store does not know is left zero.
	Vague bool

	// Options are applied to every client, before those of a test.
	Options []dlock.Option

	// TTL is what child processes open their clients with. A test waits for its
	// end where the store does not notice that a process was killed. 0 stands for
	// 2 s.
	TTL time.Duration

	// Patience bounds every wait for what has to come. It is no measure of
	// speed. 0 stands for 30 s.
	Patience time.Duration
}

// Run checks that clients of the store behave as package dlock promises. Its
// subtests run side by side, when the test that called Run has returned: what they
// need ends by its Cleanup, and not by defer.
func Run(t *testing.T, h Harness) {
	if h.TTL == 0 {
		h.TTL = 2 * time.Second
	}
	if h.Patience == 0 {
		h.Patience = 30 * time.Second
	}
	for _, group := range [][]check{
		exclusionChecks, cancelChecks, misuseChecks, nameChecks, holdChecks, doChecks, lossChecks, garbageChecks, closeChecks,
		fencingChecks, inspectChecks, rwChecks, semaphoreChecks, compositeChecks, orderChecks, costChecks, processChecks, scheduleChecks,
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel() // most of them wait most of the time
				c.run(newFixture(t, h))
			})
		}
	}
}

// A check is one test of the suite. Its name says what must hold.
type check struct {
	name string
	run  func(*fixture)
}
