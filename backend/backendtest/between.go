package backendtest

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A Between is a store with something between it and its driver that a check can
// make fail: a [Proxy] in front of a server, say. What a store lacks is left nil,
// and the checks that need it are skipped.
type Between struct {
	// Open makes one more Backend on the store, as the function does that
	// Harness.New returns. All that it sends, and all that comes back, passes what
	// is between.
	Open func() backend.Backend

	// Direct is Open of a Backend that reaches the store by another way: nothing
	// below concerns it. It stands for a process on another machine.
	Direct func() backend.Backend

	// Delay has whatever the store says reach the driver d later than it would. What
	// the driver says is not delayed. It counts for what is on its way, too, so that
	// Delay(0) delivers that.
	Delay func(d time.Duration)

	// Cut ends all connections; new ones can be opened at once. What the store had
	// said and the driver has not heard is lost. What the driver had said reaches the
	// store all the same, unless it was paused: then it is on its way, and the store
	// does not hear that the connection has ended, until late is called.
	Cut func() (late func())

	// Pause has nothing pass any more, in either direction, and tells nobody: what
	// is sent waits, and a new connection is accepted or not, but not served. It
	// lasts until Resume, which delivers all that waits.
	Pause, Resume func()

	// CutEnds is set for a store that ends a session with its connection, and with it
	// all that the session holds.
	CutEnds bool

	// Restart ends the store and starts it again, with the data that it keeps over a
	// restart.
	Restart func()
}

// Through returns a Between of proxies, one for each server of a store. Its Open,
// Direct and Restart are for the driver to set.
func Through(proxies ...*Proxy) *Between {
	each := func(f func(*Proxy)) {
		for _, p := range proxies {
			f(p)
		}
	}
	return &Between{
		Delay: func(d time.Duration) { each(func(p *Proxy) { p.Delay(d) }) },
		Cut: func() (late func()) {
			var all []func()
			each(func(p *Proxy) { all = append(all, p.Cut()) })
			return func() {
				for _, late := range all {
					late()
				}
			}
		},
		Pause:  func() { each((*Proxy).Pause) },
		Resume: func() { each((*Proxy).Resume) },
	}
}
