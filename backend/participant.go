package backend

import "time"

// A ClientInfo tells people for whom a session holds its locks.
type ClientInfo struct {
	Host   string // the name of the machine
	PID    int    // of the process
	Reason string // in the user's words, or ""; a driver may cut it at 1 KiB
}

// A Participant is one who holds a lock or waits for it.
type Participant struct {
	ClientInfo
	Mode    Mode
	Since   time.Time // when it was granted the lock or began to wait, by the store's clock or its own
	Ordinal uint64    // of the grant, of one who holds
}
