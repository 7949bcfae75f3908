package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlock-go/dlock/backend/postgres/internal/pgsql"
)

// A leftover is a wait session whose connection is gone for us, and perhaps not for
// the server: as long as that has not noticed, it waits there, and may even get the lock.
// Who waited by it counts as waiting until the server has it no more.
type leftover struct {
	pid   int64
	lock  *lock
	since time.Time
}

const (
	seekEvery = 50 * time.Millisecond // it is looked for leftovers
	seekTTLs  = 3                     // so many times to live, then they count as gone: whose server never notices has waited for long enough
)

// leave takes note of the end of a connection that waited at the server.
func (s *session) leave(wt *waitConn) {
	w := wt.wait
	if w == nil || wt.wire == nil || !wt.wire.Busy || wt.wire.Fatal != nil {
		return // The server has nothing of it, or says itself that it ends it.
	}
	w.lock.leftovers++
	s.waits.leftovers = append(s.waits.leftovers, leftover{wt.wire.PID, w.lock, time.Now()})
	s.seek(time.Now())
}

// seek has the holder session look which leftovers the server still has. Every role
// sees that.
func (s *session) seek(now time.Time) {
	switch {
	case s.waits.seeking || len(s.waits.leftovers) == 0:
		return
	case now.Before(s.waits.sought):
		s.rearm(s.waits.sought.Sub(now))
		return
	}
	s.waits.seeking = true
	sought := make([]int64, 0, len(s.waits.leftovers))
	for _, l := range s.waits.leftovers {
		sought = append(sought, l.pid)
	}
	s.holder.extras = append(s.holder.extras, extra{pgsql.Present, pids(sought), func(present []int64, err *pgconn.PgError) {
		s.waits.seeking, s.waits.sought = false, time.Now().Add(seekEvery)
		failed := err != nil
		s.waits.leftovers = slices.DeleteFunc(s.waits.leftovers, func(l leftover) bool {
			asked := !failed && slices.Contains(sought, l.pid)
			gone := asked && !slices.Contains(present, l.pid) || time.Since(l.since) > seekTTLs*s.ttl
			if gone {
				l.lock.leftovers--
				s.settle(l.lock)
			}
			return gone
		})
		s.seek(time.Now())
	}})
}
