package file

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file/internal/notify"
)

// A session implements [backend.Session]. Apply changes its state and Recv
// reports on it; Recv holds the mutex only between its waits, and Apply never for
// longer than one op takes.
type session struct {
	// Immutable.
	dir   string
	watch notify.Watcher // its wait belongs to Recv, all else is guarded by mu

	// Owned by Apply.
	results []backend.Result

	mu          sync.Mutex // guards what follows
	closed      bool
	now         time.Time // about when the current op or event is dealt with
	clock       *clock
	presence    *presence
	claims      map[uint64]*claim
	locks       map[key]*lock
	recent      [keep]*lock // a ring of locks that stay open when not used
	oldest      int         // in recent
	subjects    map[notify.Watch]subject
	retries     retries
	pending     []backend.Event // for Recv
	granted     []*claim        // which still stand in the queue
	maintenance maintenance
	deserted    map[queue]time.Time // queues that were found empty, and when
	parked      map[*lock]time.Time // locks that have a parked ticket, and since when

	listening bool         // somebody has waited: what is held is watched
	home      notify.Watch // of dir, while settled
	settled   bool
}

var _ backend.Session = (*session)(nil)

// A subject is what a watch is about: a lock file, or the ticket of a claim.
type subject struct {
	file  *lockfile
	claim *claim
}

func newSession(dir string, clock *clock, presence *presence, w notify.Watcher) *session {
	s := &session{
		dir:      dir,
		watch:    w,
		now:      time.Now(),
		clock:    clock,
		presence: presence,
		claims:   make(map[uint64]*claim),
		locks:    make(map[key]*lock),
		subjects: make(map[notify.Watch]subject),
		deserted: make(map[queue]time.Time),
		parked:   make(map[*lock]time.Time),
	}
	s.maintenance = newMaintenance(dir)
	s.tend()
	return s
}

// Apply implements [backend.Session]. It makes no use of ctx while it waits for
// the file system, which cannot be interrupted.
func (s *session) Apply(ctx context.Context, ops []backend.Op) ([]backend.Result, []backend.Lease, error) {
	clear(s.results)
	s.results = s.results[:0]
	for i := range ops {
		if ctx.Err() != nil {
			s.results = append(s.results, backend.Result{State: backend.Unknown, Err: context.Cause(ctx)})
			continue
		}
		r, err := s.apply(&ops[i])
		if err != nil {
			return nil, nil, err
		}
		s.results = append(s.results, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, backend.ErrClosed
	}
	if len(ops) == 0 {
		s.now = time.Now()
		s.promote()
	}
	s.tend()
	return s.results, nil, nil
}

func (s *session) apply(op *backend.Op) (backend.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return backend.Result{}, backend.ErrClosed
	}
	s.now = time.Now()
	s.promote()
	switch op.Do {
	case backend.Acquire:
		return s.acquire(op), nil
	case backend.Release:
		return s.release(op.Owner), nil
	}
	return failed(backend.ErrUnsupported), nil
}

// Recv implements [backend.Session].
func (s *session) Recv(ctx context.Context) ([]backend.Event, error) {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watch.Until(time.Now())
	})()
	for {
		events, err := s.news(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		notices, err := s.watch.Wait()
		if errors.Is(err, os.ErrClosed) {
			return nil, backend.ErrClosed
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.now = time.Now()
		s.promote()
		for _, n := range notices {
			s.notice(n)
		}
		s.mu.Unlock()
	}
}

// news returns what there is to tell. If nothing, it sets when wait has to return.
func (s *session) news(ctx context.Context) ([]backend.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, backend.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.now = time.Now()
	s.promote()
	s.due()
	if len(s.pending) > 0 && time.Since(s.now) >= lookedAt {
		for _, c := range s.granted {
			s.verify(c.lock) // The process may have been stopped.
		}
	}
	events := s.pending
	s.pending = nil
	if len(events) == 0 {
		s.hurry()
	}
	return events, nil
}

// hurry makes wait return in time for what there is to tell next.
func (s *session) hurry() {
	at := s.retries.next()
	if len(s.pending) > 0 {
		at = s.now
	}
	s.watch.Until(at)
}

// attend watches a file in order to notice what happens to the subject.
func (s *session) attend(path string, what notify.Attention, about subject) (notify.Watch, bool) {
	w, ok := s.watch.Add(path, what)
	if ok {
		s.subjects[w] = about
	} else if why := s.watch.Lack(); why != nil {
		s.pending = append(s.pending, backend.Event{Kind: backend.EventNotice, Err: why})
		s.hurry()
	}
	return w, ok
}

// listen has a lock's waiters hear of what becomes of its file. Where they are the first
// of the session, holds are watched from now on.
func (s *session) listen(l *lock) {
	if l.key.class != backend.Semaphore { // whose users all have its file open
		l.file.listen()
	}
	if s.listening || !s.watch.Exact() {
		return
	}
	s.listening = true
	s.settle()
	for _, l := range s.locks {
		l.watchHolds()
	}
}

// settle has the session hear when its directory is moved away, once it hears anything.
func (s *session) settle() {
	if !s.listening || s.settled {
		return
	}
	s.home, s.settled = s.watch.Add(s.dir, notify.Nobody)
}

// ignore ends a watch.
func (s *session) ignore(w notify.Watch) {
	delete(s.subjects, w)
	s.watch.Remove(w)
}

// notice draws the conclusions from what the watcher saw.
func (s *session) notice(n notify.Notice) {
	if n.Kind == notify.Lapsed {
		for _, l := range s.locks {
			s.disturbed(l, notify.Moved)
		}
		return
	}
	if s.settled && n.Watch == s.home {
		s.moved()
		return
	}
	about := s.subjects[n.Watch]
	if n.Kind == notify.Ended {
		s.unwatched(n.Watch, about)
	}
	switch {
	case about.claim != nil:
		// Rung, or the ticket has been removed.
		c := about.claim
		c.invited = c.invited || n.Kind == notify.Closed && s.watch.Exact() && c.ticket.rung()
		s.restart(c, 0)
		c.retry.delay = s.pace(c)
	case about.file != nil:
		s.disturbed(about.file.lock, n.Kind)
	}
}

// moved deals with a directory that is no longer where it was.
func (s *session) moved() {
	s.watch.Remove(s.home)
	s.settled = false // until heartbeats see another one
	for _, l := range s.locks {
		s.disturbed(l, notify.Moved)
	}
}

// unwatched notes that a watch has ended with its file.
func (s *session) unwatched(w notify.Watch, about subject) {
	delete(s.subjects, w)
	switch {
	case about.claim != nil && about.claim.ticket != nil && about.claim.ticket.watch == w:
		about.claim.ticket.heard = false
	case about.file != nil && about.file.watch == w:
		about.file.watched = false
	}
}

// disturbed deals with a lock whose file somebody closed or moved.
func (s *session) disturbed(l *lock, kind notify.Kind) {
	if len(l.claims) == 0 {
		return
	}
	if kind != notify.Closed {
		s.verify(l)
	}
	for _, c := range l.claims {
		if c.ticket != nil {
			if kind != notify.Closed {
				s.listen(l) // to the file that has come in its place
			}
			// A file is unlocked just after it is closed: this is for soon, too.
			s.restart(c, 0)
			c.retry.delay = firstPoll
		}
	}
}

// Close implements [backend.Session]. Once ctx has ended it wakes nobody, and they find
// out as after a crash; and where the file system does not answer, it is left alone.
func (s *session) Close(ctx context.Context) error {
	_, err := answered(ctx, s.dir, closeTimeout, func() (struct{}, error) {
		s.close(ctx)
		return struct{}{}, nil
	}, nil)
	return err
}

// end closes a session that nobody wants any more.
func (s *session) end() { s.close(context.Background()) }

func (s *session) close(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.now = time.Now()
	s.promote()
	for _, c := range s.claims {
		if ctx.Err() != nil {
			break
		}
		s.drop(c)
	}
	for _, c := range s.claims { // those that are left
		if c.ticket != nil {
			s.leave(c)
		}
		if c.held {
			c.hold.abandon()
		}
	}
	for _, l := range s.locks {
		s.unpark(l)
		if l.pool.joined {
			l.leavePool()
		}
		l.forget()
	}
	for q := range s.deserted {
		q.remove()
	}
	s.maintenance.end(ctx, s.now)
	s.presence.close()
	s.clock.close()
	s.watch.Close()
}
