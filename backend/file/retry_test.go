package file

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// Nothing tells that a stranger has unlocked a file which he keeps open: polls find
// out, and heartbeats once the polls have become rare.
func TestStrangerUnlocks(t *testing.T) {
	for _, long := range []bool{false, true} {
		dir := t.TempDir()
		stranger, err := create(Path(dir, backend.Mutex, "x"), true)
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		if ok, err := stranger.TryLock(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		s := openSession(t, dir)
		s.want(t, waiting(1, "x"), backend.Queued)
		s.mu.Lock()
		if long {
			s.claims[1].retry.delay = lastPoll
			withoutPolls(s)
		}
		s.mu.Unlock()
		if err := stranger.Unlock(); err != nil {
			t.Fatal(err)
		}
		if !long {
			s.nextTurn(t, 1)
			s.want(t, waiting(1, "x"), backend.Granted)
			continue
		}
		s.maintenance.last = time.Time{} // a second ago
		if _, _, err := s.Apply(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		events, err := s.Recv(t.Context())
		if err != nil || len(events) != 1 || events[0].Kind != backend.EventGranted || events[0].Owner != 1 {
			t.Fatalf("%+v, %v", events, err)
		}
		if r := s.do1(t, waiting(1, "x")); r.State != backend.Granted || r.Grant != events[0].Grant || r.Grant.Ordinal == 0 {
			t.Errorf("%+v after %+v", r, events[0])
		}
		if ok, err := stranger.TryLock(); ok || err != nil {
			t.Errorf("not locked: %v", err)
		}
	}
}

// The delay doubles up to its limit, for as long as nothing happens.
func TestBackOff(t *testing.T) {
	s := openSession(t, t.TempDir())
	s.want(t, acquire(1, "x"), backend.Granted)
	s.want(t, waiting(2, "x"), backend.Queued)
	polls, end := 0, s.now.Add(time.Minute)
	for at := s.retries.next(); at.Before(end); at = s.retries.next() {
		s.now = at
		if s.due(); !s.retries.next().After(at) {
			t.Fatal("not wound")
		}
		polls++
	}
	limit := 70
	if !s.hears(s.claims[2]) { // it is its turn, and nobody can ring
		limit = 610
	}
	if polls > limit {
		t.Errorf("%d polls a minute", polls)
	}
	if a := s.claims[2].retry; a.at.Sub(s.now) > time.Second {
		t.Errorf("%v between polls", a.at.Sub(s.now))
	}
}

// Who was granted the lock a moment ago, and has yet to be told, is not granted it again.
func TestRetryOfTheGranted(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	other.want(t, acquire(1, "x"), backend.Granted)
	s.want(t, waiting(1, "x"), backend.Queued)
	other.want(t, releaseOf(1), backend.Released)
	s.mu.Lock()
	c := s.claims[1]
	s.retry(c)
	s.retry(c)
	if !c.held || len(s.pending) != 1 || len(s.granted) != 1 {
		t.Errorf("held: %v, events: %v, granted: %d", c.held, s.pending, len(s.granted))
	}
	s.promote()
	s.mu.Unlock()
}
