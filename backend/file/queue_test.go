package file

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/flock"
	"github.com/dlock-go/dlock/backend/file/internal/notify"
)

// nextTurn receives until owner is told that it holds.
func (s *session) nextTurn(t *testing.T, owner uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		events, err := s.Recv(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind == backend.EventGranted && e.Owner == owner {
				return
			}
		}
	}
}

func waiting(owner uint64, name string) backend.Op {
	op := acquire(owner, name)
	op.Wait = true
	return op
}

func (s *session) want(t *testing.T, op backend.Op, want backend.State) {
	t.Helper()
	if r := s.do1(t, op); r.State != want {
		t.Fatalf("state %d (%v), want %d", r.State, r.Err, want)
	}
}

func releaseOf(owner uint64) backend.Op { return backend.Op{Do: backend.Release, Owner: owner} }

// Polls would hide a ring that is missing: these tests do without.
func withoutPolls(sessions ...*session) {
	for _, s := range sessions {
		for _, a := range s.retries {
			a.at = a.at.Add(time.Hour)
		}
		s.hurry()
	}
}

func TestNobodyOvertakes(t *testing.T) {
	dir := t.TempDir()
	a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	a.want(t, releaseOf(1), backend.Released)
	// The lock is free, but b is before everybody.
	c.want(t, acquire(1, "x"), backend.Busy)
	c.want(t, waiting(2, "x"), backend.Queued)
	a.want(t, waiting(2, "x"), backend.Queued)
	c.want(t, waiting(2, "x"), backend.Queued)
	b.want(t, waiting(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Granted) // still
}

func TestRing(t *testing.T) {
	dir := t.TempDir()
	a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
	if !b.watch.Exact() {
		t.Skip("this system does not notify")
	}
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	c.want(t, waiting(1, "x"), backend.Queued)
	withoutPolls(b, c)
	a.want(t, releaseOf(1), backend.Released)
	b.nextTurn(t, 1)
	// It was rung, and leaves: the ring is passed on.
	b.want(t, releaseOf(1), backend.Released)
	c.nextTurn(t, 1)
	c.want(t, waiting(1, "x"), backend.Granted)
	// The same when the lock is given back by the end of a session.
	b.want(t, waiting(2, "x"), backend.Queued)
	withoutPolls(b)
	c.Close(t.Context())
	b.nextTurn(t, 2)
	b.want(t, waiting(2, "x"), backend.Granted)
}

// The next in the queue is rung when the lock is given back, also when the one whom
// the holder had found there has left, and holds it without asking.
func TestHeir(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		dir := t.TempDir()
		a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
		if !b.watch.Exact() {
			t.Skip("this system does not notify")
		}
		c.want(t, acquire(1, "x"), backend.Granted)
		a.want(t, waiting(1, "x"), backend.Queued)
		b.want(t, waiting(1, "x"), backend.Queued)
		c.want(t, releaseOf(1), backend.Released)
		a.want(t, waiting(1, "x"), backend.Granted)
		c.want(t, waiting(2, "x"), backend.Queued)
		l := a.lockOf(backend.Mutex, "x")
		if l.next.path != b.claims[1].ticket.path {
			t.Fatalf("the next waiter is %+v", l.next)
		}
		next, owner := b, uint64(1)
		if leaves {
			b.want(t, releaseOf(1), backend.Released)
			next, owner = c, 2
		}
		withoutPolls(next)
		a.want(t, releaseOf(1), backend.Released)
		events, err := next.Recv(t.Context())
		if err != nil || len(events) != 1 || events[0].Kind != backend.EventGranted || events[0].Owner != owner {
			t.Fatalf("%+v, %v", events, err)
		}
		if l.next.path != "" {
			t.Errorf("the next waiter is still %+v", l.next)
		}
	}
}

// A heartbeat may come between a grant and the end of the ticket that led to it.
func TestHeartbeatAfterGrant(t *testing.T) {
	dir := t.TempDir()
	a, b := openSession(t, dir), openSession(t, dir)
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	a.want(t, releaseOf(1), backend.Released)
	retry := &b.claims[1].retry
	retry.at, retry.delay = b.now, lastPoll
	b.due()
	if !b.claims[1].held || b.claims[1].ticket == nil {
		t.Fatalf("%+v", b.claims[1])
	}
	b.maintenance.last = time.Time{}
	if _, _, err := b.Apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	events, err := b.Recv(t.Context())
	if err != nil || len(events) != 1 || events[0].Kind != backend.EventGranted {
		t.Fatalf("%+v, %v", events, err)
	}
	b.want(t, releaseOf(1), backend.Released)
}

// Only the one whose turn it is wakes up.
func TestNoHerd(t *testing.T) {
	dir := t.TempDir()
	a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
	if !b.watch.Exact() {
		t.Skip("this system does not notify")
	}
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	c.want(t, waiting(1, "x"), backend.Queued)
	withoutPolls(b, c)
	a.want(t, releaseOf(1), backend.Released)
	b.nextTurn(t, 1)
	notices := make(chan []notify.Notice, 1)
	go func() {
		n, _ := c.watch.Wait()
		notices <- n
	}()
	c.watch.Until(time.Now().Add(50 * time.Millisecond))
	if n := <-notices; len(n) > 0 {
		t.Errorf("woken by %+v", n)
	}
}

// Places whose owners have died are not waited for, and go.
func TestDeadTickets(t *testing.T) {
	dir := t.TempDir()
	a, b := openSession(t, dir), openSession(t, dir)
	q := a.lockOf(backend.Mutex, "x").queue
	if err := makeDir(q.dir); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(3) {
		if err := os.WriteFile(filepath.Join(q.dir, ticketName(n, backend.Exclusive)), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b.want(t, acquire(1, "x"), backend.Granted)
	a.want(t, waiting(1, "x"), backend.Queued)
	if places, err := q.places(); err != nil || len(places) != 1 {
		t.Errorf("%v, %v", places, err)
	}
	b.want(t, releaseOf(1), backend.Released)
	a.want(t, waiting(1, "x"), backend.Granted)
}

// The ticket of one who was served stands in nobody's way, and serves again.
func TestParkedTicket(t *testing.T) {
	dir := t.TempDir()
	a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
	q := a.lockOf(backend.Mutex, "x").queue
	inode := func() flock.Identity {
		places, err := q.places()
		if err != nil || len(places) == 0 {
			t.Fatal(places, err)
		}
		id, err := flock.IdentityAt(places[len(places)-1].path)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	ticket := inode()
	a.want(t, releaseOf(1), backend.Released)
	b.want(t, waiting(1, "x"), backend.Granted)
	if places, _ := q.places(); len(places) != 1 || alive(places[0].path) {
		t.Errorf("%v: still waits", places)
	}
	b.want(t, releaseOf(1), backend.Released)
	c.want(t, acquire(1, "x"), backend.Granted)

	a.want(t, waiting(2, "x"), backend.Queued)
	b.want(t, waiting(2, "x"), backend.Queued) // with its old ticket, behind a
	if inode() != ticket {
		t.Error("the parked ticket was not used")
	}
	c.want(t, releaseOf(1), backend.Released)
	b.want(t, waiting(2, "x"), backend.Queued)
	a.want(t, waiting(2, "x"), backend.Granted)
	// When it is gone there is a new one.
	a.want(t, releaseOf(2), backend.Released)
	b.want(t, waiting(2, "x"), backend.Granted)
	if err := flock.Unlink(b.lockOf(backend.Mutex, "x").parked.path); err != nil {
		t.Fatal(err)
	}
	c.want(t, waiting(2, "x"), backend.Queued)
	b.want(t, waiting(3, "x"), backend.Queued)
	b.want(t, releaseOf(2), backend.Released)
	b.want(t, waiting(3, "x"), backend.Queued)
	c.want(t, waiting(2, "x"), backend.Granted)
	c.want(t, releaseOf(2), backend.Released)
	b.want(t, waiting(3, "x"), backend.Granted)
}

// Who is rung may try the lock without looking who else waits; but not when it is
// an earlier wait with the same ticket that was rung.
func TestLateRing(t *testing.T) {
	dir := t.TempDir()
	a, b := openSession(t, dir), openSession(t, dir)
	if !b.watch.Exact() {
		t.Skip("this system does not notify")
	}
	listen := func() {
		t.Helper()
		b.watch.Until(time.Now().Add(10 * time.Second))
		notices, err := b.watch.Wait()
		if err != nil || len(notices) == 0 {
			t.Fatal(notices, err)
		}
		for _, n := range notices {
			b.notice(n)
		}
	}
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	ticket := b.claims[1].ticket
	ring(place{number: ticket.number, path: ticket.path})
	listen()
	if !b.claims[1].invited {
		t.Error("rung, and not told")
	}
	b.want(t, waiting(1, "x"), backend.Queued)
	ring(place{number: ticket.number, path: ticket.path})
	a.want(t, releaseOf(1), backend.Released)
	b.want(t, waiting(1, "x"), backend.Granted)
	a.want(t, waiting(2, "x"), backend.Queued)
	b.want(t, releaseOf(1), backend.Released)
	b.want(t, waiting(2, "x"), backend.Queued)
	if b.claims[2].ticket != ticket {
		t.Fatal("the parked ticket was not used")
	}
	listen()
	if b.claims[2].invited {
		t.Error("invited by a ring that was for somebody else")
	}
	b.want(t, waiting(2, "x"), backend.Queued)
	a.want(t, waiting(2, "x"), backend.Granted)
}

// Who rings may have found the ticket where it stood before it was parked, and reach
// its owner when that one has queued again, behind others.
func TestRingOfEarlierPlace(t *testing.T) {
	dir := t.TempDir()
	a, b := openSession(t, dir), openSession(t, dir)
	if !b.watch.Exact() {
		t.Skip("this system does not notify")
	}
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	earlier := b.claims[1].ticket.number
	a.want(t, releaseOf(1), backend.Released)
	b.want(t, waiting(1, "x"), backend.Granted)
	a.want(t, waiting(2, "x"), backend.Queued)
	b.want(t, releaseOf(1), backend.Released)
	b.want(t, waiting(2, "x"), backend.Queued) // with its old ticket, behind a
	ticket := b.claims[2].ticket
	for what, ring := range map[string]func(){
		"rung in an earlier place": func() { ring(place{number: earlier, path: ticket.path}) },
		"looked at while it was parked": func() {
			h, err := flock.Open(ticket.path, flock.Existing)
			if err != nil {
				t.Fatal(err)
			}
			h.Close()
		},
	} {
		ring()
		b.watch.Until(time.Now().Add(10 * time.Second))
		notices, err := b.watch.Wait()
		if err != nil || len(notices) == 0 {
			t.Fatal(notices, err)
		}
		for _, n := range notices {
			b.notice(n)
		}
		if b.claims[2].invited {
			t.Errorf("invited, though it was only %s", what)
		}
		b.want(t, waiting(2, "x"), backend.Queued)
	}
	a.want(t, waiting(2, "x"), backend.Granted)
}

// A place that was cleared away is taken anew.
func TestPlaceGone(t *testing.T) {
	dir := t.TempDir()
	a, b := openSession(t, dir), openSession(t, dir)
	a.want(t, acquire(1, "x"), backend.Granted)
	b.want(t, waiting(1, "x"), backend.Queued)
	if b.watch.Exact() {
		withoutPolls(b)
	}
	gone := b.claims[1].ticket
	if err := flock.Unlink(gone.path); err != nil {
		t.Fatal(err)
	}
	for b.watch.Exact() && b.claims[1].ticket == gone {
		b.watch.Until(time.Now().Add(10 * time.Second))
		notices, err := b.watch.Wait()
		if err != nil || len(notices) == 0 {
			t.Fatal(notices, err)
		}
		for _, n := range notices {
			b.notice(n)
		}
		b.due()
	}
	b.want(t, waiting(1, "x"), backend.Queued)
	if b.watch.Exact() {
		withoutPolls(b)
	}
	a.want(t, releaseOf(1), backend.Released)
	b.nextTurn(t, 1)
	b.want(t, waiting(1, "x"), backend.Granted)
}

func TestTicketNames(t *testing.T) {
	for _, n := range []uint64{0, 1, backend.MaxOrdinal} {
		for _, mode := range []backend.Mode{backend.Exclusive, backend.Shared} {
			if got, m, ok := parseTicketName(ticketName(n, mode)); got != n || m != mode || !ok {
				t.Errorf("%d, %d: %d, %d, %v", n, mode, got, m, ok)
			}
		}
	}
	for _, name := range []string{"", "turn", "0000000000001", "0000000000001.", "000000000000g.shared", "0000000000001.shared~"} {
		if _, _, ok := parseTicketName(name); ok {
			t.Errorf("%q is taken for a ticket", name)
		}
	}
}

// Two tickets that are given back before the first waiter wakes serve two waiters.
func TestCascade(t *testing.T) {
	dir := t.TempDir()
	a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
	if !b.watch.Exact() {
		t.Skip("this system does not notify")
	}
	ticket := func(owner uint64) backend.Op {
		op := waiting(owner, "x")
		op.Class, op.Limit = backend.Semaphore, 2
		return op
	}
	a.want(t, ticket(1), backend.Granted)
	a.want(t, ticket(2), backend.Granted)
	b.want(t, ticket(1), backend.Queued)
	c.want(t, ticket(1), backend.Queued)
	withoutPolls(b, c)
	a.want(t, releaseOf(1), backend.Released)
	a.want(t, releaseOf(2), backend.Released)
	b.nextTurn(t, 1)
	b.want(t, ticket(1), backend.Granted)
	c.nextTurn(t, 1)
	c.want(t, ticket(1), backend.Granted)
}

// Whenever the lock is given back while somebody is about to wait for it, he gets
// it or is rung.
func TestNoLostWakeUp(t *testing.T) {
	dir := t.TempDir()
	a, b := openSession(t, dir), openSession(t, dir)
	if !b.watch.Exact() {
		t.Skip("this system does not notify")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() { // takes what is free, and does not wait
		for owner := uint64(1); ; owner++ {
			select {
			case <-stop:
				return
			default:
				a.do1(t, acquire(owner, "x"))
				for begin := time.Now(); time.Since(begin) < 10*time.Microsecond; {
				}
				a.do1(t, releaseOf(owner))
			}
		}
	})
	for owner, queued := uint64(1), 0; queued < 60; owner++ {
		for b.do1(t, waiting(owner, "x")).State != backend.Granted {
			queued++
			withoutPolls(b)
			b.nextTurn(t, owner)
		}
		b.want(t, releaseOf(owner), backend.Released)
	}
}

// A writer that gets the lock by Recv counts as having passed the readers before its
// owner hears of it: a reader that comes after that does not go before other writers.
func TestPassBeforeGrant(t *testing.T) {
	dir := t.TempDir()
	a, b, c := openSession(t, dir), openSession(t, dir), openSession(t, dir)
	op := func(owner uint64, mode backend.Mode) backend.Op {
		op := waiting(owner, "x")
		op.Class, op.Mode = backend.RWMutex, mode
		return op
	}
	a.want(t, op(1, backend.Exclusive), backend.Granted)
	b.want(t, op(1, backend.Exclusive), backend.Queued)
	c.want(t, op(1, backend.Shared), backend.Queued)
	a.want(t, releaseOf(1), backend.Released)
	for !b.claims[1].held {
		b.claims[1].retry.at = b.now
		b.retries.set(&b.claims[1].retry)
		b.due()
	}
	h, err := flock.Open(b.claims[1].lock.queue.turnPath(), flock.ToRead)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if is := readTurn(h); is.passed != 1 {
		t.Errorf("%+v", is)
	}
}
