package quorum

import (
	"container/heap"
	"time"
)

// alarms are the times at which acquisitions have to be looked at again. An alarm is good for
// as long as its time is that of its acquisition. The session's mutex guards them.
type alarms struct{ queue alarmQueue }

type alarm struct {
	at  time.Time
	bid *acquisition
}

// set has b looked at again at that time, and at no other.
func (a *alarms) set(b *acquisition, at time.Time) {
	b.due = at
	heap.Push(&a.queue, alarm{at, b})
}

// next returns the time of the first alarm, or the zero Time.
func (a *alarms) next() time.Time {
	for len(a.queue) > 0 {
		if first := a.queue[0]; first.bid.due.Equal(first.at) {
			return first.at
		}
		heap.Pop(&a.queue)
	}
	return time.Time{}
}

// due takes out an acquisition whose time has come, or returns nil.
func (a *alarms) due(now time.Time) *acquisition {
	at := a.next()
	if at.IsZero() || now.Before(at) {
		return nil
	}
	b := heap.Pop(&a.queue).(alarm).bid
	b.due = time.Time{}
	return b
}

type alarmQueue []alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarmQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *alarmQueue) Push(x any)        { *q = append(*q, x.(alarm)) }
func (q *alarmQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*q = old[:len(old)-1]
	return x
}

// reconsider weighs all acquisitions that ask: a replica has changed.
func (s *session) reconsider(now time.Time) {
	for _, b := range s.acquisitions {
		s.weigh(b, now)
	}
	s.stir()
}

// stir makes Apply look again.
func (s *session) stir() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
	s.stirAlarm()
}

// stirAlarm has watch look at the alarms when the next is earlier than it knows.
func (s *session) stirAlarm() {
	if next := s.alarms.next(); !next.IsZero() && (s.watched.IsZero() || next.Before(s.watched)) {
		select {
		case s.alarm <- struct{}{}:
		default:
		}
	}
}

// watch looks at acquisitions when they are due, until the session ends.
func (s *session) watch() {
	defer s.running.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		s.attend(time.Now())
		s.watched = s.alarms.next()
		wait := time.Hour
		if !s.watched.IsZero() {
			wait = time.Until(s.watched)
		}
		s.mu.Unlock()
		select {
		case s.moved <- struct{}{}:
		default:
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.alarm:
		case <-s.done:
			return
		}
	}
}

// attend looks at the acquisitions that are due.
func (s *session) attend(now time.Time) {
	for b := s.alarms.due(now); b != nil; b = s.alarms.due(now) {
		switch b.state {
		case bidAsking:
			s.weigh(b, now)
			if b.state == bidAsking && b.due.IsZero() {
				s.alarms.set(b, now.Add(s.ttl/6))
			}
		case bidWaiting:
			s.attempt(b, now)
		}
	}
}
