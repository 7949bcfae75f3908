// Package job is what the controller of a run tells a worker to do.
package job

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A Job is the work of one worker process. It is passed on as JSON.
type Job struct {
	Slot      int    // which of the workers of the run it is, over its restarts
	URL       string // of the store
	Journal   string // the file to write
	Registers string // the socket of the registers
	Seed      uint64

	// User, if set, is whom the worker makes itself once it has opened what it needs,
	// with that umask and the group Team, of which all such users are.
	User int

	Class   backend.Class
	Limit   int // of semaphores
	TTL     time.Duration
	Handoff time.Duration

	// Names 0 to Busy-1 are held for moments and wanted by many, the Long ones
	// after them are held for as long as a few TTLs.
	Busy, Long int
	Clients    int // in this process
	Churners   int // goroutines of each client that use the busy names
	Sitters    int // goroutines of each client that use the long ones

	// Probe, if set, has the process take every name once, exclusively, within
	// that time, and end.
	Probe time.Duration
}

// Team is the group of the users of a run.
const Team = 4300

// Names is how many names a run has, beside the one for crowds.
func (j *Job) Names() int { return j.Busy + j.Long }

// Crowd is the name that many goroutines of one process want at once.
func (j *Job) Crowd() int { return j.Names() }

// Name returns the lock name of an index.
func Name(i int) string { return fmt.Sprintf("chaos/%d", i) }

// Index returns the index of a lock name.
func Index(name string) int {
	var i int
	if _, err := fmt.Sscanf(name, "chaos/%d", &i); err != nil {
		return -1
	}
	return i
}
