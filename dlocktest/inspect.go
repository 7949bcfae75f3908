package dlocktest

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

var inspectChecks = []check{
	{"inspect/tells who holds and who waits, and why", checkInspect},
	{"inspect/keeps namespaces apart", checkInspectNamespace},
	{"inspect/bad names, ended contexts", checkInspectMisuse},
}

// inspected waits until the store tells what has to be told of a name; it may
// take a moment to know.
func (p *client) inspected(name, what string, right func(dlock.Inspection) bool) {
	p.f.Helper()
	p.f.until(what, func() bool {
		found, err := p.Inspect(p.f.patient(), p.f.name(name))
		if err != nil {
			p.f.Fatal(err)
		}
		return right(found)
	})
}

func checkInspect(f *fixture) {
	f.needs(f.caps.Inspect, "Inspect")
	host, err := os.Hostname()
	if err != nil {
		f.Fatal(err)
	}
	before := time.Now().Add(-time.Minute)
	a, b, c := f.client(dlock.WithReason("export")), f.client(dlock.WithReason("import")), f.client()
	// are reports whether clients are those of a lock, each with its reason.
	are := func(clients []dlock.Participant, class backend.Class, reasons ...string) bool {
		var got []string
		for _, p := range clients {
			since := p.Since.After(before) || f.Vague && p.Since.IsZero()
			if p.Class == class.String() && p.Host == host && p.PID == os.Getpid() && since && !p.Shared {
				got = append(got, p.Reason)
			}
		}
		return len(got) == len(clients) && slices.Equal(got, reasons)
	}
	f.forKinds(exclusives[:3], func(f *fixture, k kind) {
		name := "a " + k.name
		c.inspected(name, "nobody is told of", func(i dlock.Inspection) bool { return len(i.Holders)+len(i.Waiters) == 0 })
		h := f.take(a.lock(k, name))
		token, _ := h.Token()
		c.inspected(name, "the holder is told", func(i dlock.Inspection) bool {
			return are(i.Holders, k.class, "export") && (i.Holders[0].Token == token || f.Vague && i.Holders[0].Token == 0) && len(i.Waiters) == 0
		})
		if f.caps.Queue {
			w := f.waiter(b.lock(k, name))
			b.queued(k.class, name, 1)
			c.inspected(name, "holder and waiter are told", func(i dlock.Inspection) bool {
				return are(i.Holders, k.class, "export") && are(i.Waiters, k.class, "import") && i.Waiters[0].Token == 0
			})
			f.release(h)
			h = w.granted()
		}
		f.release(h)
		c.inspected(name, "nobody is left", func(i dlock.Inspection) bool { return len(i.Holders)+len(i.Waiters) == 0 })
	})
	f.step("all locks of a name", func(f *fixture) {
		// Held until the end, or they might be garbage before they are looked for.
		defer f.release(f.take(readLock{a.RWMutex(f.name("n"))}))
		defer f.release(f.take(b.Semaphore(f.name("n"), 2)))
		found, err := c.Inspect(f.patient(), f.name("n"))
		if err != nil {
			f.Fatal(err)
		}
		if h := found.Holders; len(h) != 2 || h[0].Class != "rwmutex" || !h[0].Shared || h[1].Class != "semaphore" || h[1].Shared {
			f.Errorf("inspected: %+v", found)
		}
	})
}

func checkInspectNamespace(f *fixture) {
	f.needs(f.caps.Inspect, "Inspect")
	a, b := f.client(dlock.WithNamespace("x")), f.client()
	defer f.release(f.take(a.Mutex(f.name("a"))))
	a.inspected("a", "the holder is told", func(i dlock.Inspection) bool { return len(i.Holders) == 1 })
	b.inspected("a", "a holder elsewhere is not", func(i dlock.Inspection) bool { return len(i.Holders) == 0 })
}

func checkInspectMisuse(f *fixture) {
	p := f.client()
	if _, err := p.Inspect(context.Background(), ""); !errors.Is(err, dlock.ErrName) {
		f.Errorf("an empty name: %v", err)
	}
	if !f.caps.Inspect {
		if _, err := p.Inspect(context.Background(), "a"); !errors.Is(err, dlock.ErrUnsupported) {
			f.Errorf("a store that cannot tell: %v", err)
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Inspect(ctx, f.name("a")); err != nil && !errors.Is(err, context.Canceled) {
		f.Errorf("an ended context: %v", err)
	}
}
