package dlocktest

import (
	"context"
	"runtime"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

var garbageChecks = []check{
	{"garbage/a hold that is forgotten is released, with a warning", checkForgottenHold},
	{"garbage/who has the channel of Lost alone hears of the release", checkForgottenLeader},
	{"garbage/the context of a hold keeps it", checkContextKeeps},
	{"garbage/what Lock took stays taken", checkLockStays},
	{"garbage/a hold that was released leaves no warning", checkReleasedHold},
}

// forget acquires a lock and drops the hold.
//
//go:noinline
func (f *fixture) forget(l lock) {
	f.Helper()
	f.take(l)
}

// collected waits until the garbage collector has made something happen.
func (f *fixture) collected(what string, cond func() bool) {
	f.Helper()
	f.until(what, func() bool { runtime.GC(); return cond() })
}

// collect waits until the garbage collector has found the holds that are garbage
// by now: holds that are forgotten later are found.
func (f *fixture) collect(p *client) {
	f.Helper()
	for _, name := range []string{"garbage 1", "garbage 2"} {
		f.forget(p.Mutex(f.name(name)))
		f.collected("a hold that was forgotten later is released", func() bool {
			return p.recorder.account(backend.Mutex, f.name(name)).releases > 0
		})
	}
}

func checkForgottenHold(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		other := b.lock(k.rival(), "forgotten")
		f.forget(a.lock(k, "forgotten"))
		f.collected("the lock of a forgotten hold is free", other.TryLock)
		other.Unlock()
		f.until("a warning names the lock", func() bool { // The log may be behind.
			text := a.journal.String()
			return strings.Contains(text, "level=WARN") && strings.Contains(text, f.name("forgotten"))
		})
	})
}

// lost acquires a lock and drops the hold, but not its channel.
//
//go:noinline
func (f *fixture) lost(l lock) <-chan struct{} {
	f.Helper()
	return f.take(l).Lost()
}

func checkForgottenLeader(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		other := b.lock(k.rival(), "forgotten")
		lost := f.lost(a.lock(k, "forgotten"))
		f.collected("the channel of a forgotten hold is closed", func() bool { return closed(lost) })
		f.freed(other)
		if n := a.Stats().Lost; n > 0 {
			f.Errorf("Stats has counted %d losses", n)
		}
	})
}

func checkContextKeeps(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		l, other := a.lock(k, "a"), b.lock(k.rival(), "a")
		ctx := context.WithValue(f.take(l).Context(), valueKey{}, "derived")
		f.collect(a)
		f.busy(other)
		if ctx.Err() != nil {
			f.Errorf("the context has ended: %v", context.Cause(ctx))
		}
		runtime.KeepAlive(ctx)
		ctx = nil
		f.collected("the lock is free when the context is forgotten too", other.TryLock)
		other.Unlock()
	})
}

func checkLockStays(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		a, b := f.client(), f.client()
		other := b.lock(k.rival(), "a")
		func() { a.lock(k, "a").Lock() }()
		f.collect(a)
		f.busy(other)
		a.close()
		f.free(other)
	})
}

func checkReleasedHold(f *fixture) {
	f.forKinds(kinds, func(f *fixture, k kind) {
		p := f.client()
		func() { f.release(f.take(p.lock(k, "released"))) }()
		f.collect(p)
		if text := p.journal.String(); strings.Contains(text, f.name("released")) {
			f.Errorf("a hold that was released was logged:\n%s", text)
		}
	})
}
