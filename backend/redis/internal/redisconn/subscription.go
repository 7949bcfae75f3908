package redisconn

import "time"

// What a session does while the server's messages do not reach it.
const (
	// PollWithout is how often those who wait ask, and pollSome how many at most.
	PollWithout = 100 * time.Millisecond
	PollSome    = 64
	// DeniedPause is how long after a subscription that is not allowed another is tried.
	DeniedPause = 30 * time.Second
)
