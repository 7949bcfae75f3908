package backendtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

var leaseChecks = []check{
	{"lease/deadlines lie within the time to live", checkLeaseDeadlines},
	{"lease/heartbeats extend it", checkLeaseExtended},
	{"lease/one that the caller has declared over is used on", checkLeaseDeclared},
	{"lease/it is over for its holder before another is granted", checkLeaseExpires},
}

// leases keeps the deadlines that the answers to a session's batches told.
type leases map[uint32]time.Time

// note takes note of what one Apply told, which was called at before, and
// returns what is wrong with it, or nil.
func (l leases) note(before time.Time, ttl time.Duration, results []backend.Result, reported []backend.Lease) error {
	after := time.Now()
	reported = slices.Clone(reported)
	for _, r := range results {
		if r.State == backend.Granted {
			reported = append(reported, r.Grant.Lease)
		}
	}
	told := maps.Clone(l)
	for _, lease := range reported {
		last, known := told[lease.ID] // Within one answer there is no order.
		if lease.Until.After(l[lease.ID]) || !known {
			l[lease.ID] = lease.Until
		}
		switch until := lease.Until; {
		case until.IsZero() && !last.IsZero():
			return fmt.Errorf("lease %d had a deadline and has none", lease.ID)
		case until.IsZero():
		case known && until.Before(last):
			return fmt.Errorf("the deadline of lease %d went back by %v", lease.ID, last.Sub(until))
		case !until.After(before):
			return fmt.Errorf("lease %d ended %v before the batch that told of it", lease.ID, before.Sub(until))
		case until.After(after.Add(ttl)):
			return fmt.Errorf("lease %d ends %v after its batch, beyond the time to live of %v", lease.ID, until.Sub(after), ttl)
		case until == until.Round(0):
			return fmt.Errorf("the deadline of lease %d has no monotonic reading", lease.ID)
		}
	}
	return nil
}

// bareApply has a session that nobody serves apply ops, and repeats them when
// they are Unknown. There is at most one.
func (l leases) bareApply(f *fixture, s backend.Session, ops ...backend.Op) ([]backend.Result, error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), f.Patience)
	defer cancel()
	for {
		before := time.Now()
		results, reported, err := s.Apply(ctx, ops)
		if err != nil {
			return nil, err
		}
		if err := l.note(before, f.TTL, results, reported); err != nil {
			f.Error(err)
		}
		if len(results) == 0 || results[0].State != backend.Unknown {
			return results, nil
		}
		time.Sleep(time.Millisecond)
	}
}

// leased acquires "a" as owner 1 of a session that nobody serves. It skips the
// check when the hold has no deadline.
func (f *fixture) leased() (s backend.Session, l leases, lease uint32) {
	s, l = f.bare(f.open()), make(leases)
	op := mutex("a")
	op.Do, op.Owner = backend.Acquire, 1
	results, err := l.bareApply(f, s, op)
	if err != nil || results[0].State != backend.Granted {
		f.Fatalf("Apply: %v, %v; want Granted", results, err)
	}
	lease = results[0].Grant.Lease.ID
	if l[lease].IsZero() {
		f.Skip("the driver has no leases")
	}
	return s, l, lease
}

func checkLeaseDeadlines(f *fixture) {
	s, l, _ := f.leased()
	for range 5 {
		time.Sleep(2 * time.Millisecond) // so that deadlines differ
		if _, err := l.bareApply(f, s); err != nil {
			f.Fatalf("heartbeat: %v", err)
		}
	}
}

func checkLeaseExtended(f *fixture) {
	s, l, lease := f.leased()
	b := f.peer()
	first := l[lease]
	beat := time.NewTicker(f.TTL / 5)
	defer beat.Stop()
	for over := first.Add(f.TTL / 2); time.Now().Before(over); <-beat.C {
		if _, err := l.bareApply(f, s); err != nil || time.Now().After(l[lease]) {
			f.Fatalf("the lease ended in spite of heartbeats: %v", err)
		}
		b.busy(mutex("a"))
	}
	if !l[lease].After(first) {
		f.Error("the lease was never extended")
	}
}

// The caller saw a deadline pass of which a renewal was on its way. To the driver that
// is a Release like any other.
func checkLeaseDeclared(f *fixture) {
	s := f.alone()
	mine, grant := s.take(mutex("a"))
	known := grant.Lease.Until
	if known.IsZero() {
		f.Skip("the driver has no leases")
	}
	s.alive("the known deadline has passed", func() bool { return time.Now().After(known) })
	other := s.claim(mutex("b"), false)
	for i, r := range s.apply(release(mine), other) {
		if want := []backend.State{backend.Released, backend.Granted}[i]; r.State != want && r.State != backend.Unknown {
			f.Errorf("op %d: %s; want state %d", i, s.said(r), want)
		}
	}
	s.answer(release(mine))
	_, grant = s.take(mutex("a"))
	if !s.until(grant.Lease.ID).After(time.Now()) {
		f.Errorf("granted on lease %d, which was over", grant.Lease.ID)
	}
	f.peer().busy(mutex("a"))
}

func checkLeaseExpires(f *fixture) {
	s, l, lease := f.leased()
	next := f.peer().acquire(mutex("a"))
	next.wait()
	if early := time.Until(l[lease]); early > 0 {
		f.Errorf("another holds the lock %v before the lease ends", early)
	}
	op := mutex("a")
	op.Do, op.Owner = backend.Acquire, 1
	if results, err := l.bareApply(f, s, op); err == nil && results[0].State == backend.Granted {
		f.Error("a session whose lease has ended holds what another was granted")
	}
	next.holding()
}
