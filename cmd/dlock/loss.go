package main

import "time"

// A loss is a lock that may be lost while the command runs, and what follows
// from that for the command.
//
// Where the store works with leases, the command has to be gone when the lease
// ends, for then somebody else may have the lock. So it is told the grace before
// the deadline, if the lease has not been renewed by then. Where a lock is lost at
// one stroke, the command is told then and has the grace from then on.
type loss struct {
	// Immutable.
	action string // of --on-lost
	grace  time.Duration

	deadline time.Time // the last one known, or zero
	lost     bool
	told     bool      // to end
	killAt   time.Time // once told
}

// A verdict is what is to be done to the command.
type verdict int

const (
	proceed verdict = iota + 1
	tell            // that it has to end: TERM
	renewed         // the lease was renewed after the command had been told
	kill
	report // that the lock is lost, and nothing else
)

// judge returns what is to be done now, and when to look again: at the latest,
// for something may happen before. deadline is that of the hold, or zero.
func (l *loss) judge(now, deadline time.Time, lost bool) (v verdict, next time.Time) {
	if !deadline.IsZero() {
		l.deadline = deadline
	}
	switch {
	case lost && !l.lost:
		l.lost = true
		return l.end(now)
	case l.told && !now.Before(l.killAt):
		return kill, now.Add(l.grace)
	case lost:
		return proceed, l.killAt
	case l.deadline.IsZero() || l.action == onLostIgnore:
		return proceed, time.Time{}
	case l.action == onLostKill:
		return proceed, l.deadline
	}
	warning := l.deadline.Add(-l.grace)
	switch {
	case now.Before(warning) && l.told:
		l.told = false
		return renewed, warning
	case now.Before(warning):
		return proceed, warning
	case !l.told:
		l.told, l.killAt = true, l.deadline
		return tell, l.killAt
	default:
		l.killAt = l.deadline
		return proceed, l.killAt
	}
}

// end returns what is to be done when the lock has just been lost.
func (l *loss) end(now time.Time) (verdict, time.Time) {
	switch {
	case l.action == onLostIgnore:
		return report, time.Time{}
	case l.action == onLostKill:
		l.told, l.killAt = true, now
	case !l.told:
		l.told, l.killAt = true, now.Add(l.grace)
		// A process that was stopped may wake up after the deadline.
		if !l.deadline.IsZero() && l.deadline.Before(l.killAt) {
			l.killAt = l.deadline
		}
		if now.Before(l.killAt) {
			return tell, l.killAt
		}
	case now.Before(l.killAt):
		return proceed, l.killAt
	}
	return kill, now.Add(l.grace)
}
