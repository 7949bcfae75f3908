package redislock

import "time"

// FitEvery is how often a session looks whether its servers are still fit to keep locks.
const FitEvery = time.Minute

// What a session does while the server's messages do not reach it.
const (
	// PollWithout is how often those who wait ask, and PollSome how many at most.
	PollWithout = 100 * time.Millisecond
	PollSome    = 64
	// DeniedPause is how long after a subscription that is not allowed another is tried.
	DeniedPause = 30 * time.Second
)

// Drift is how much earlier than the server's clock ours ends a lease.
func Drift(ttl time.Duration) time.Duration { return ttl/100 + 2*time.Millisecond }
