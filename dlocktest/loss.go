package dlocktest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"

	"github.com/dlock-go/dlock"
)

var lossChecks = []check{
	{"loss/Do tells of one that f did not see", checkLossInDo},
	{"loss/Release tells of one that nobody saw, and a second does nothing", checkLossAtRelease},
	{"loss/UnlockContext and Unlock tell of one that nobody saw", checkLossAtUnlock},
	{"loss/it is told while the lock is held", checkLossWhileHeld},
}

// A bereaved is a client that loses a lock of its kind, named "a".
type bereaved struct {
	*client
	k    kind
	lock lock

	mu     sync.Mutex
	losses []dlock.Loss // that the handler heard of
}

// losing runs a check on every kind of lock, where locks can be lost.
func (f *fixture) losing(check func(f *fixture, p *bereaved)) {
	f.Helper()
	if f.Lose == nil {
		f.Skip("the harness has no Lose")
	}
	f.forKinds(kinds, func(f *fixture, k kind) {
		if k.drain > 0 {
			f.Skip("its other holders would lose theirs, too")
		}
		p := &bereaved{k: k}
		p.client = f.client(dlock.WithLossHandler(func(l dlock.Loss) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.losses = append(p.losses, l)
		}))
		p.lock = p.client.lock(k, "a")
		check(f, p)
	})
}

// lose takes the lock away behind everybody's back.
func (p *bereaved) lose() {
	p.f.Lose(p.f.T, p.f.Backend(p.f.T), p.k.class, p.f.name("a"))
}

// next acquires what is lost for another client.
func (p *bereaved) next() *dlock.Hold {
	p.f.Helper()
	k := p.k.rival()
	if k.name == "composite" {
		k = exclusives[0] // Its other parts are not lost.
	}
	return p.f.take(p.f.client().lock(k, "a"))
}

// heard returns how often the handler has heard of the loss, and how often of any.
func (p *bereaved) heard() (this, any int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.losses {
		if l.Class == p.k.class.String() && l.Name == p.f.name("a") {
			this++
			if !errors.Is(l.Err, dlock.ErrLost) {
				p.f.Errorf("the handler was told of the error %v; want ErrLost", l.Err)
			}
		}
	}
	return this, len(p.losses)
}

// logged returns how often the log tells of the loss.
func (p *bereaved) logged() (times int) {
	for line := range strings.SplitSeq(p.journal.String(), "\n") {
		if strings.Contains(line, "lock lost") && strings.Contains(line, "class="+p.k.class.String()+" ") && strings.Contains(line, p.f.name("a")) {
			times++
		}
	}
	return times
}

// booked fails the test unless the handler, Stats and the log have told of the loss,
// once. It closes the client.
func (p *bereaved) booked() {
	p.f.Helper()
	p.f.until("the loss handler and the log tell of the loss", func() bool {
		this, _ := p.heard()
		return this > 0 && p.logged() > 0
	})
	p.close()
	this, all := p.heard()
	if lost := p.Stats().Lost; this != 1 || lost != uint64(all) || p.logged() != 1 {
		p.f.Errorf("the handler was told %d times of the loss and of %d in all, Stats has counted %d, and the log has %d lines; want one of each", this, all, lost, p.logged())
	}
}

func checkLossInDo(f *fixture) {
	f.losing(func(f *fixture, p *bereaved) {
		mine := errors.New("an error of f")
		err := p.lock.Do(f.patient(), func(context.Context) error {
			p.lose()
			return mine
		})
		if !errors.Is(err, dlock.ErrLost) || !errors.Is(err, mine) {
			f.Errorf("Do returned %v; want the error of f and ErrLost", err)
		}
		f.freed(f.client().lock(p.k.rival(), "a"))
		p.booked()
	})
}

func checkLossAtRelease(f *fixture) {
	f.losing(func(f *fixture, p *bereaved) {
		h := f.take(p.lock)
		p.lose()
		next := p.next()
		if err := h.Release(f.patient()); !errors.Is(err, dlock.ErrLost) {
			f.Errorf("Release returned %v; want ErrLost", err)
		}
		if err := h.Release(f.patient()); err != nil {
			f.Errorf("a second Release returned %v", err)
		}
		f.busy(f.client().lock(p.k, "a")) // The next one has it still.
		f.release(next)
		p.booked()
	})
}

func checkLossAtUnlock(f *fixture) {
	f.losing(func(f *fixture, p *bereaved) {
		p.lock.Lock()
		p.lose()
		if err := p.lock.UnlockContext(f.patient()); !errors.Is(err, dlock.ErrLost) {
			f.Errorf("UnlockContext returned %v; want ErrLost", err)
		}
		p.booked()
	})
	f.losing(func(f *fixture, p *bereaved) {
		p.lock.Lock()
		p.lose()
		p.lock.Unlock()
		p.booked()
	})
}

func checkLossWhileHeld(f *fixture) {
	f.losing(func(f *fixture, p *bereaved) {
		h := f.take(p.lock)
		ctx, lost := h.Context(), h.Lost()
		p.lose()
		f.within(f.Patience+2*f.TTL, "the hold is lost", func() bool { return closed(lost) })
		if err := h.Err(); !errors.Is(err, dlock.ErrLost) {
			f.Errorf("Err is %v; want ErrLost", err)
		}
		done(f, "the context of what was lost is done", ctx.Done())
		if err := context.Cause(ctx); !errors.Is(err, dlock.ErrLost) {
			f.Errorf("the cause of the context is %v; want ErrLost", err)
		}
		if err := h.Release(f.patient()); !errors.Is(err, dlock.ErrLost) {
			f.Errorf("Release returned %v; want ErrLost", err)
		}
		runtime.KeepAlive(h)
		f.freed(f.client().lock(p.k.rival(), "a"))
		p.booked()
	})
}
