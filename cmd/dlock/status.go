package main

import (
	"fmt"
	"strings"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// A summary is what status says in JSON.
type summary struct {
	Name    string `json:"name"`
	Store   string `json:"store"`
	Free    bool   `json:"free"`
	Holders int    `json:"holders"`
	Waiters int    `json:"waiters"`
}

// locks are the locks of a name by their class, and what tells them apart in the
// words of the flags.
var locks = []struct{ class, label, suffix string }{
	{backend.RWMutex.String(), "lock", ""},
	{backend.Semaphore.String(), "slot", " (slots)"},
	{backend.Mutex.String(), "mutex", " (mutex)"},
}

// status is the subcommand.
func (j *job) status(store backend.Backend) exit {
	found, e := j.survey(store)
	if e.err != nil {
		return e
	}
	s := summary{
		Name:    j.name,
		Store:   store.String(),
		Free:    len(found.Holders)+len(found.Waiters) == 0,
		Holders: len(found.Holders),
		Waiters: len(found.Waiters),
	}
	if !s.Free {
		e.code = exitBusy
	}
	if j.json {
		return printJSON(s, e)
	}
	var b strings.Builder
	for _, l := range locks {
		if line := summarize(of(l.class, found.Holders), of(l.class, found.Waiters)); line != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", plain(j.name), l.suffix, line)
		}
	}
	if s.Free {
		fmt.Fprintf(&b, "%s: free\n", plain(j.name))
	}
	return printText(b.String(), e)
}

// summarize tells of one lock in a line, or "" if nobody is there.
func summarize(holders, waiters []dlock.Participant) string {
	line := describeHolders(holders)
	if len(waiters) == 0 {
		return line
	}
	if line == "" {
		line = "held by nobody at this moment"
	}
	if len(waiters) == 1 {
		return line + "; 1 waits"
	}
	return fmt.Sprintf("%s; %d wait", line, len(waiters))
}
