package redis

import "time"

// What a session does while the server's messages do not reach it.
const (
	// pollWithout is how often those who wait ask, and pollSome how many at most.
	pollWithout = 100 * time.Millisecond
	pollSome    = 64
	// deniedPause is how long after a subscription that is not allowed another is tried.
	deniedPause = 30 * time.Second
)
