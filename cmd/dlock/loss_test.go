package main

import (
	"testing"
	"time"
)

// A moment is a look at a lock, in seconds since the beginning, and what is to
// come of it.
type moment struct {
	at, deadline float64 // no deadline: 0
	lost         bool
	want         verdict
	next         float64 // never: 0
}

func TestLoss(t *testing.T) {
	const grace = 3
	for name, c := range map[string]struct {
		action  string
		moments []moment
	}{
		"without a lease, term": {onLostTerm, []moment{
			{at: 0, want: proceed},
			{at: 100, lost: true, want: tell, next: 103},
			{at: 101, lost: true, want: proceed, next: 103},
			{at: 103, lost: true, want: kill, next: 106},
			{at: 106, lost: true, want: kill, next: 109},
		}},
		"without a lease, kill": {onLostKill, []moment{
			{at: 0, want: proceed},
			{at: 100, lost: true, want: kill, next: 103},
		}},
		"without a lease, ignore": {onLostIgnore, []moment{
			{at: 0, want: proceed},
			{at: 100, lost: true, want: report},
			{at: 101, lost: true, want: proceed},
		}},
		"renewed in time": {onLostTerm, []moment{
			{at: 1, deadline: 10, want: proceed, next: 7},
			{at: 4, deadline: 13, want: proceed, next: 10},
			{at: 10, deadline: 19, want: proceed, next: 16},
		}},
		"not renewed": {onLostTerm, []moment{
			{at: 1, deadline: 10, want: proceed, next: 7},
			{at: 7, deadline: 10, want: tell, next: 10},
			{at: 8, deadline: 10, want: proceed, next: 10},
			{at: 10, lost: true, want: kill, next: 13},
		}},
		"the deadline passes before the loss is heard of": {onLostTerm, []moment{
			{at: 7, deadline: 10, want: tell, next: 10},
			{at: 10, deadline: 10, want: kill, next: 13},
		}},
		"renewed after all": {onLostTerm, []moment{
			{at: 7.5, deadline: 10, want: tell, next: 10},
			{at: 8, deadline: 17, want: renewed, next: 14},
			{at: 9, deadline: 17, want: proceed, next: 14},
			{at: 14, deadline: 17, want: tell, next: 17},
			{at: 17, lost: true, want: kill, next: 20},
		}},
		"renewed after all, but not for long": {onLostTerm, []moment{
			{at: 7, deadline: 10, want: tell, next: 10},
			{at: 9, deadline: 11, want: proceed, next: 11},
			{at: 10, deadline: 11, want: proceed, next: 11},
			{at: 11, lost: true, want: kill, next: 14},
		}},
		"lost at one stroke, with much left of the lease": {onLostTerm, []moment{
			{at: 1, deadline: 10, want: proceed, next: 7},
			{at: 2, lost: true, want: tell, next: 5},
			{at: 5, lost: true, want: kill, next: 8},
		}},
		"lost at one stroke, with little left": {onLostTerm, []moment{
			{at: 7, deadline: 10, want: tell, next: 10},
			{at: 8, lost: true, want: proceed, next: 10},
			{at: 10, lost: true, want: kill, next: 13},
		}},
		"awake late": {onLostTerm, []moment{
			{at: 1, deadline: 10, want: proceed, next: 7},
			{at: 9, deadline: 10, want: tell, next: 10},
			{at: 10, lost: true, want: kill, next: 13},
		}},
		"awake too late": {onLostTerm, []moment{
			{at: 1, deadline: 10, want: proceed, next: 7},
			{at: 60, lost: true, want: kill, next: 63},
		}},
		"not renewed, kill": {onLostKill, []moment{
			{at: 7, deadline: 10, want: proceed, next: 10},
			{at: 10, lost: true, want: kill, next: 13},
		}},
		"not renewed, ignore": {onLostIgnore, []moment{
			{at: 7, deadline: 10, want: proceed},
			{at: 10, lost: true, want: report},
			{at: 11, lost: true, want: proceed},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			at := func(s float64) time.Time {
				if s == 0 {
					return time.Time{}
				}
				return begin.Add(time.Duration(s * float64(time.Second)))
			}
			l := loss{action: c.action, grace: grace * time.Second}
			for _, m := range c.moments {
				v, next := l.judge(begin.Add(time.Duration(m.at*float64(time.Second))), at(m.deadline), m.lost)
				if v != m.want || !next.Equal(at(m.next)) {
					t.Errorf("at %v: verdict %d and next at %v, want %d and %v", m.at, v, next.Sub(begin), m.want, m.next)
				}
			}
		})
	}
}
