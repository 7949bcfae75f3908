package session

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLease()
		time.Sleep(time.Hour)
		if _, ok := l.Until(); ok || l.Lapsed() {
			t.Error("a lease without a deadline has lapsed")
		}
		start := Now()
		l.Extend(start + Instant(10*time.Second))
		l.Extend(start + Instant(5*time.Second)) // Never back.
		time.Sleep(10*time.Second - 1)
		if l.Lapsed() {
			t.Error("lapsed before its deadline")
		}
		l.Extend(start + Instant(20*time.Second))
		time.Sleep(10 * time.Second)
		if l.Lapsed() {
			t.Error("lapsed although it was extended")
		}
		time.Sleep(2 * time.Nanosecond)
		// Nobody has looked yet: a late answer still counts.
		l.Extend(start + Instant(30*time.Second))
		if l.Lapsed() {
			t.Error("lapsed although it was extended before anybody looked")
		}
		time.Sleep(10 * time.Second)
		if !l.Lapsed() {
			t.Error("not lapsed at its deadline")
		}
		l.Extend(start + Instant(time.Hour))
		if _, ok := l.Until(); ok || !l.Lapsed() {
			t.Error("revived")
		}
	})
}

// A machine that slept has used up its leases, though no timer has run.
func TestInstantCountsSleep(t *testing.T) {
	now := time.Now()
	if d := At(now, time.Minute) - At(now, 0); d != Instant(time.Minute) {
		t.Errorf("a minute of sleep counts %v", time.Duration(d))
	}
	if s := slept(time.Now()); s < 0 || s > time.Hour {
		t.Errorf("slept %v", s)
	}
	if a, b := Now(), Now(); b < a {
		t.Error("time runs backwards")
	}
}

// Every acquisition on a lease and every look at its hold read the clock.
func BenchmarkLapsed(b *testing.B) {
	l := NewLease()
	l.Extend(Now() + Instant(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		l.Lapsed()
	}
}
