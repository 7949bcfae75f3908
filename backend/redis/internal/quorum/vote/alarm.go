package vote

import (
	"container/heap"
	"time"
)

// alarms are the times at which acquisitions have to be looked at again. An alarm is good
// for as long as its time is that of its acquisition.
type alarms struct{ queue alarmQueue }

type alarm struct {
	at          time.Time
	acquisition *acquisition
}

// set has a looked at again at that time, and at no other.
func (l *alarms) set(a *acquisition, at time.Time) {
	a.due = at
	heap.Push(&l.queue, alarm{at, a})
}

// next returns the time of the first alarm, or the zero Time.
func (l *alarms) next() time.Time {
	for len(l.queue) > 0 {
		if first := l.queue[0]; first.acquisition.due.Equal(first.at) {
			return first.at
		}
		heap.Pop(&l.queue)
	}
	return time.Time{}
}

// due takes out an acquisition whose time has come, or returns nil.
func (l *alarms) due(now time.Time) *acquisition {
	at := l.next()
	if at.IsZero() || now.Before(at) {
		return nil
	}
	a := heap.Pop(&l.queue).(alarm).acquisition
	a.due = time.Time{}
	return a
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

// Next returns when Attend is to be called, or the zero Time.
func (m *Machine) Next() time.Time { return m.alarms.next() }

// Attend looks at the acquisitions that are due.
func (m *Machine) Attend(now time.Time) {
	for a := m.alarms.due(now); a != nil; a = m.alarms.due(now) {
		m.effects.Moved = true
		switch a.state {
		case asking:
			m.weigh(a, now)
			switch {
			case a.state != asking || !a.due.IsZero():
			case a.stuck: // It goes on when a node is up.
				m.alarms.set(a, now.Add(m.TTL/6))
			default:
				m.alarms.set(a, now.Add(m.lag()))
			}
		case waiting:
			m.attempt(a, now)
		case holding: // A node gives votes again.
			if a.reliable(now) {
				m.revote(a, now)
			}
		}
	}
}
