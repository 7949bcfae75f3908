package redislock

// Notices are what a caller was told to log. The zero value is empty.
type Notices map[string]bool

// Fresh reports whether why is to be told: it was not yet, and there is an end to it.
func (n *Notices) Fresh(why error) bool {
	text := why.Error()
	if (*n)[text] || len(*n) == 16 {
		return false
	}
	if *n == nil {
		*n = make(Notices)
	}
	(*n)[text] = true
	return true
}
