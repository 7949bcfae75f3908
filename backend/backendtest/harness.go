// Package backendtest is the conformance suite for backends of dlock, and a
// wrapper that makes a backend fail on purpose.
//
// A driver joins with one test:
//
//	func TestConformance(t *testing.T) {
//		backendtest.Run(t, backendtest.Harness{
//			New: func(t *testing.T) func() backend.Backend {
//				dir := t.TempDir()
//				return func() backend.Backend { return file.New(dir) }
//			},
//			Caps: backend.Caps{Queue: true, Notify: true, Fencing: true, Contended: true, Processes: true},
//		})
//	}
//
// What a driver does not claim in its Caps is not tested, and logged.
package backendtest

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A Harness tells the suite how to reach a driver.
type Harness struct {
	// New sets up a store that no other test uses, and returns a function that
	// makes one more Backend on it. Each Backend stands for a process of its
	// own, though a driver within one process may well return the same twice.
	// New gives the store back with t.Cleanup; by then all sessions are closed. It
	// may be called several times at once.
	New func(t *testing.T) func() backend.Backend

	// Lose takes a lock away from who holds it, all of them, behind the driver's back,
	// as when the store's data are lost or a connection is killed at the store: when
	// it returns, the store may grant the lock to others. b is a Backend of the store
	// in question, from the function that New returned. nil stands for a store where
	// that cannot happen, and the checks of it are skipped.
	Lose func(t *testing.T, b backend.Backend, class backend.Class, name string)

	// Fault sets up a store as New does, with something between it and its driver
	// that fails on demand, such as a [Proxy]. nil stands for a store that nothing
	// lies before, and the checks of it are skipped.
	Fault func(t *testing.T) *Between

	// Caps is what the driver has to claim, so that it cannot drop a guarantee
	// in silence.
	Caps backend.Caps

	// Vague is set for a store whose Inspect knows which sessions hold a lock, but
	// not in what order, with what ordinal, or for how many owners, and not always
	// since when somebody holds or waits. What the store does not know is left zero.
	Vague bool

	// AboutWriters is set for a store that counts writers which pass a waiting reader
	// only about: a quarter of MaxWriters have to, and half as many again may.
	AboutWriters bool

	// TTL is the time to live that sessions are opened with. The suite waits
	// for some of them to end. 0 stands for 2 s.
	TTL time.Duration

	// Patience bounds every wait for what has to come, beyond the TTL. It is
	// no measure of speed. 0 stands for 30 s.
	Patience time.Duration
}

// Run checks that a driver keeps the contract of package backend. Its subtests run
// side by side, when the test that called Run has returned: what they need ends by
// its Cleanup, and not by defer.
func Run(t *testing.T, h Harness) {
	h = h.withDefaults()
	for _, group := range [][]check{
		exclusionChecks, batchChecks, queueChecks, withdrawalChecks, rwChecks, semaphoreChecks,
		nameChecks, fencingChecks, contendedChecks, inspectChecks, sessionChecks, leaseChecks, lossChecks, scheduleChecks,
		faultChecks, lateChecks, silenceChecks,
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel() // most of them wait most of the time
				c.run(&fixture{T: t, Harness: h, open: h.New(t)})
			})
		}
	}
}

func (h Harness) withDefaults() Harness {
	if h.TTL == 0 {
		h.TTL = 2 * time.Second
	}
	if h.Patience == 0 {
		h.Patience = 30 * time.Second
	}
	return h
}

// A check is one test of the suite. Its name says what must hold.
type check struct {
	name string
	run  func(*fixture)
}

// A fixture is what a check runs on: a store of its own.
type fixture struct {
	*testing.T
	Harness
	open   func() backend.Backend   // as another process would
	closed map[backend.Session]bool // the bare sessions that are
	infos  int                      // that peers were given
}

// needs skips the check when the driver does not claim what it is about.
func (f *fixture) needs(claimed bool, what string) {
	f.Helper()
	if !claimed {
		f.Skipf("the driver does not claim Caps.%s", what)
	}
}

// steps runs a part of a check for each of some ops, on stores of their own, side by
// side: they begin when the check has returned.
func (f *fixture) steps(ops []backend.Op, run func(f *fixture, op backend.Op)) {
	for _, op := range ops {
		f.Run(op.Class.String(), func(t *testing.T) {
			t.Parallel()
			run(&fixture{T: t, Harness: f.Harness, open: f.New(t)}, op)
		})
	}
}

// step runs a part of a check on a store of its own.
func (f *fixture) step(name string, run func(f *fixture)) {
	f.Run(name, func(t *testing.T) {
		run(&fixture{T: t, Harness: f.Harness, open: f.New(t)})
	})
}
