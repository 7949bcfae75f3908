package dlocktest

var processChecks = []check{
	{"process/what a child holds is busy here, and free after its release", checkChildHolds},
	{"process/a child waits for what is held here", checkChildWaits},
	{"process/a waiter here gets what a child held that exits", func(f *fixture) { checkChildGone(f, (*child).exit) }},
	{"process/a waiter here gets what a child held that is killed", func(f *fixture) { checkChildGone(f, (*child).kill) }},
	{"process/a child that is killed while it waits is passed over", checkChildKilledWaiting},
	{"process/tokens grow from process to process", checkChildTokens},
}

// forChildren runs a check on every kind of lock, if processes share the store.
func (f *fixture) forChildren(kinds []kind, check func(f *fixture, k kind)) {
	if f.caps.Processes != (f.URL != "") {
		f.Fatalf("the Harness has the URL %q and the driver claims Caps.Processes %v", f.URL, f.caps.Processes)
	}
	f.needs(f.caps.Processes, "Processes")
	f.forKinds(kinds, check)
}

// contended waits until the store has told a holder that another process waits,
// where stores do that.
func (p *client) contended(k kind, name string) {
	p.f.Helper()
	if p.f.caps.Contended {
		p.f.until("the store tells of a child that waits", func() bool { return p.recorder.account(k.class, p.f.name(name)).contended })
	}
}

func checkChildHolds(f *fixture) {
	f.forChildren(kinds, func(f *fixture, k kind) {
		p := f.client()
		mine := p.lock(k.rival(), "a")
		c := f.child(k, "a")
		for range 3 {
			c.do("lock", "held")
			f.busy(mine)
			f.free(p.lock(k, "another"))
			w := f.waiter(mine)
			w.waiting()
			c.do("unlock", "released")
			f.release(w.granted())
		}
	})
}

func checkChildWaits(f *fixture) {
	f.forChildren(kinds, func(f *fixture, k kind) {
		p := f.client()
		mine := p.lock(k.rival(), "a")
		c := f.child(k, "a")
		h := f.take(mine)
		c.do("try", "busy")
		c.tell("lock")
		p.contended(k.rival(), "a")
		c.silent()
		f.release(h)
		c.hear("held")
		f.busy(mine)
		c.do("unlock", "released")
		f.free(mine)
	})
}

func checkChildGone(f *fixture, end func(*child)) {
	f.forChildren(kinds, func(f *fixture, k kind) {
		f.Patience += 2 * f.TTL
		p := f.client()
		mine := p.lock(k.rival(), "a")
		c := f.child(k, "a")
		c.do("lock", "held")
		w := f.waiter(mine)
		p.queued(k.rival().class, "a", 1)
		w.waiting()
		end(c)
		f.release(w.granted())
		f.free(mine)
	})
}

func checkChildKilledWaiting(f *fixture) {
	f.forChildren(kinds, func(f *fixture, k kind) {
		f.Patience += 2 * f.TTL
		a, b := f.client(), f.client()
		h := f.take(a.lock(k.rival(), "a"))
		c := f.child(k, "a")
		c.tell("lock")
		a.contended(k.rival(), "a")
		w := f.waiter(b.lock(k.rival(), "a"))
		b.queued(k.rival().class, "a", 1)
		c.kill()
		f.release(h)
		f.release(w.granted())
		// A killed reader whom the writer passed may have been granted the lock by
		// then, for as long as its lease lasts.
		f.freed(a.lock(k.rival(), "a"))
	})
}

func checkChildTokens(f *fixture) {
	f.forChildren(singles, func(f *fixture, k kind) {
		p := f.client()
		c := f.child(k, "a")
		var last uint64
		for range 3 {
			h := f.take(p.lock(k, "a"))
			last = f.token(h, last)
			f.release(h)
			token := c.token()
			if f.caps.Fencing && token <= last {
				f.Fatalf("token %d of another process comes after %d", token, last)
			}
			last = token
		}
	})
}
