package file

import (
	"context"
	"time"

	"github.com/dlock-go/dlock/backend/file/internal/flock"
)

// maintenance is what a session does in its heartbeats beside living on.
type maintenance struct {
	last    time.Time      // when tend did something
	dir     flock.Identity // of the session's directory
	unseen  []*claim       // holds that remain to be looked at in this round
	janitor janitor
}

const (
	// tendEvery is how often heartbeats do something.
	tendEvery = time.Second
	// tendHolds is how many holds one of them looks at.
	tendHolds = 1024
	// desertedFor is how long a queue stays when nobody is in it.
	desertedFor = time.Second
)

func newMaintenance(dir string) maintenance { return maintenance{janitor: janitor{dir: dir}} }

func (u *maintenance) end(ctx context.Context, now time.Time) {
	u.janitor.stop()
	if ctx.Err() == nil {
		u.janitor.glance(now)
	}
}

// tend does what is to be done now and then. It is bounded, so that no heartbeat
// takes long, however much is held.
func (s *session) tend() {
	u := &s.maintenance
	if s.now.Sub(u.last) < tendEvery {
		return
	}
	u.last = s.now
	s.clock.check()
	s.repost()
	s.inspect()
	for l, since := range s.parked {
		if s.now.Sub(since) >= parkedFor {
			s.unpark(l)
		}
	}
	for q, since := range s.deserted {
		if s.now.Sub(since) >= desertedFor {
			delete(s.deserted, q)
			q.remove()
		}
	}
	u.janitor.work(s.now)
	s.patrol()
}

// inspect looks for holds whose file was replaced, as far as no watch tells: all
// of them when the whole directory was, else those that could not be watched.
func (s *session) inspect() {
	u := &s.maintenance
	if id, err := flock.IdentityAt(s.dir); err == nil && id != u.dir {
		u.dir = id
		if id != (flock.Identity{}) && s.settled {
			s.watch.Remove(s.home)
			s.settled = false
		}
		s.settle()
		for _, l := range s.locks {
			s.verify(l)
		}
		return
	}
	if len(u.unseen) == 0 {
		for _, c := range s.claims {
			if c.held && !c.hold.file.watched {
				u.unseen = append(u.unseen, c)
			}
		}
	}
	n := max(0, len(u.unseen)-tendHolds)
	for _, c := range u.unseen[n:] {
		if !c.ended && !c.lost && !c.stands() {
			s.lose(c)
		}
	}
	clear(u.unseen[n:])
	u.unseen = u.unseen[:n]
}

// repost makes another presence file when there is none, or its file was removed.
func (s *session) repost() {
	if s.presence.stands() {
		return
	}
	s.presence.close()
	ctx, cancel := context.WithTimeout(context.Background(), clockWait)
	defer cancel()
	if makeInternal(s.dir) != nil || setFormat(ctx, s.dir) != nil ||
		s.presence.open(ctx, s.clock, s.now) != nil {
		return
	}
	for _, c := range s.claims {
		c.slot = 0
		s.presence.show(c)
	}
}
