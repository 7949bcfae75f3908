package vote

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A server is what lua/vote.lua and vote_batch.lua make of a node, for exclusive locks: a
// model that schedules can run without Redis. TestBallots has the scripts themselves.
type server struct {
	floor   uint64
	epochs  map[int]time.Time           // by session, when it ends unless it is renewed
	runs    int                         // how often it was started anew
	from    time.Time                   // when it may vote
	again   time.Time                   // when it may for those who hold by others
	holders map[string]map[uint32]given // by lock and slot
	waiters map[string][]waiter
	turn    map[string]reservation
	pushes  []push // not delivered yet
}

type given struct {
	who   seat
	token uint64
}

type seat struct {
	session int
	owner   uint64
}

type waiter struct {
	who    seat
	ticket uint64
	limit  uint32
	missed bool
}

type reservation struct {
	who  seat
	till time.Time
}

type push struct {
	to   seat
	slot int64 // or NoSlot
}

func newServer() *server {
	return &server{epochs: make(map[int]time.Time), holders: make(map[string]map[uint32]given), waiters: make(map[string][]waiter), turn: make(map[string]reservation)}
}

// restart has a server lose all that it has. Leases of before last for as long as most.
func (s *server) restart(most time.Duration, now time.Time) {
	floor, runs := s.floor, s.runs
	*s = *newServer()
	s.floor, s.runs, s.from, s.again = floor, runs+1, now.Add(most), now.Add(min(most/3, 3500*time.Millisecond))
}

// expire ends the epochs whose time is over, with all that was given in them.
func (s *server) expire(now time.Time) {
	for session, until := range s.epochs {
		if now.Before(until) {
			continue
		}
		delete(s.epochs, session)
		for lock, slots := range s.holders {
			for _, h := range slots {
				if h.who.session == session {
					s.strike(lock, h.who)
					s.wake(lock, seat{}, now)
				}
			}
		}
		for lock, waiters := range s.waiters {
			s.waiters[lock] = slices.DeleteFunc(waiters, func(w waiter) bool { return w.who.session == session })
		}
	}
}

// carry carries out a request of a session.
func (s *server) carry(session int, r *Request, now time.Time) Answer {
	lock, who := r.Lock(), seat{session, r.Op().Owner}
	switch r.Kind {
	case AskVote:
		return s.vote(lock, who, r, now)
	case AskAgain:
		if now.Before(s.again) {
			return Answer{Word: Withheld, Wait: s.again.Sub(now)}
		}
		if !r.Flag && !now.Before(s.from) && r.Token < s.floor {
			return Answer{Word: Doubted}
		}
		if h, ok := s.holders[lock][r.Slot]; ok && h.who != who {
			return Answer{Word: Busy, Rivals: s.rivals(lock)}
		}
		s.floor = max(s.floor, r.Token)
		s.give(lock, who, r)
		return Answer{Word: Given}
	case AskCheck:
		if s.holders[lock][r.Slot] != (given{who, r.Token}) {
			return Answer{Word: Gone}
		}
		return Answer{Word: Given}
	case AskRelease:
		had := s.strike(lock, who)
		s.wake(lock, seat{}, now)
		return Answer{Word: Freed, Flag: had}
	case AskYield:
		s.strike(lock, who)
		s.enlist(lock, who, r)
		if r.Flag {
			s.wake(lock, who, now)
		}
		return Answer{Word: Freed}
	}
	panic(r.Kind)
}

func (s *server) vote(lock string, who seat, r *Request, now time.Time) Answer {
	has := false
	for slot, h := range s.holders[lock] {
		if h.who == who && slot != r.Slot {
			s.strike(lock, who)
			s.wake(lock, seat{}, now)
		} else if h.who == who {
			has = true
		}
	}
	h, taken := s.holders[lock][r.Slot]
	switch {
	case has && h.token == r.Token:
		return Answer{Word: Given, Flag: s.others(lock, who)}
	case !has && now.Before(s.from):
		if r.Flag {
			s.enlist(lock, who, r)
		}
		return Answer{Word: Withheld, Wait: s.from.Sub(now)}
	case !has && taken:
		if r.Flag {
			s.enlist(lock, who, r)
		}
		return Answer{Word: Busy, Rivals: s.rivals(lock)}
	case !has && s.reserved(lock, who, now):
		if r.Flag {
			s.enlist(lock, who, r)
		}
		return Answer{Word: Reserved}
	case r.Token <= s.floor:
		return Answer{Word: Low, Number: s.floor}
	}
	s.floor = r.Token
	s.strike(lock, who)
	s.give(lock, who, r)
	if r.Op().Class == backend.Semaphore && !has {
		s.wake(lock, seat{}, now)
	}
	return Answer{Word: Given, Flag: s.others(lock, who)}
}

func (s *server) give(lock string, who seat, r *Request) {
	if s.holders[lock] == nil {
		s.holders[lock] = make(map[uint32]given)
	}
	s.holders[lock][r.Slot] = given{who, r.Token}
}

// strike takes out what an owner has, and reports whether that was a vote.
func (s *server) strike(lock string, who seat) (had bool) {
	for slot, h := range s.holders[lock] {
		if h.who == who {
			delete(s.holders[lock], slot)
			had = true
		}
	}
	s.waiters[lock] = slices.DeleteFunc(s.waiters[lock], func(w waiter) bool { return w.who == who })
	if s.turn[lock].who == who {
		delete(s.turn, lock)
	}
	return had
}

func (s *server) enlist(lock string, who seat, r *Request) {
	i := slices.IndexFunc(s.waiters[lock], func(w waiter) bool { return w.who == who })
	if i < 0 {
		s.waiters[lock] = append(s.waiters[lock], waiter{who: who, ticket: r.Ticket(), limit: r.Op().Limit})
		return
	}
	s.waiters[lock][i].missed = false
}

func (s *server) rivals(lock string) (all []Rival) {
	for slot, h := range s.holders[lock] {
		all = append(all, Rival{slot, fmt.Sprint(h.who)})
	}
	return all
}

func (s *server) others(lock string, who seat) bool {
	return slices.ContainsFunc(s.waiters[lock], func(w waiter) bool { return w.who.session != who.session })
}

func (s *server) reserved(lock string, who seat, now time.Time) bool {
	r, ok := s.turn[lock]
	switch {
	case !ok || r.who == who:
		return false
	case !now.After(r.till):
		return true
	}
	delete(s.turn, lock)
	for i := range s.waiters[lock] {
		if w := &s.waiters[lock][i]; w.who == r.who {
			w.missed = true
		}
	}
	return false
}

func (s *server) wake(lock string, except seat, now time.Time) {
	s.reserved(lock, seat{}, now)
	order := slices.Clone(s.waiters[lock])
	slices.SortFunc(order, func(a, b waiter) int {
		if a.missed != b.missed {
			return map[bool]int{false: -1, true: 1}[a.missed]
		}
		return cmp.Or(cmp.Compare(a.ticket, b.ticket), cmp.Compare(a.who.session, b.who.session))
	})
	for _, w := range order {
		if w.who == except {
			continue // It tries again by itself.
		}
		for slot := range w.limit {
			if _, taken := s.holders[lock][slot]; taken {
				continue
			}
			if !w.missed {
				s.turn[lock] = reservation{w.who, now.Add(reserved)}
			}
			s.pushes = append(s.pushes, push{w.who, int64(slot)})
			return
		}
		return
	}
}
