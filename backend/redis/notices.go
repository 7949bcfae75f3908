package redis

import "time"

// fitEvery is how often a session looks whether its servers are still fit to keep locks.
const fitEvery = time.Minute

// notices are what a caller was told to log. The zero value is empty.
type notices map[string]bool

// fresh reports whether why is to be told: it was not yet, and there is an end to it.
func (n *notices) fresh(why error) bool {
	text := why.Error()
	if (*n)[text] || len(*n) == 16 {
		return false
	}
	if *n == nil {
		*n = make(notices)
	}
	(*n)[text] = true
	return true
}
