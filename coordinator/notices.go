package coordinator

// mostNotices bounds what is remembered of what drivers have said.
const mostNotices = 32

// notices are those that were logged: each session of a driver may say the same again.
type notices map[string]bool

// fresh reports whether a notice was not logged before.
func (n *notices) fresh(text string) bool {
	if (*n)[text] {
		return false
	}
	if *n == nil || len(*n) == mostNotices {
		*n = make(notices)
	}
	(*n)[text] = true
	return true
}
