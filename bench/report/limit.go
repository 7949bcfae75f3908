package report

import (
	"fmt"
	"strings"

	"github.com/dlock-go/dlock/bench/run"
)

// Limits tells of the targets that are not met what stands in the way, as far as it is
// known. It is empty when there is nothing to tell.
func Limits(all run.Results) string {
	var b strings.Builder
	for i, t := range targets {
		for _, c := range t.checks {
			if v, ok := c.figure(all); !ok || c.met(v) || c.limit == nil {
				continue
			}
			if why := c.limit(all); why != "" {
				fmt.Fprintf(&b, "- Target %d, %s: %s\n", i+1, c.what, why)
			}
		}
	}
	return b.String()
}

// limitOfFile compares with a hand-over that does nothing else.
func limitOfFile(all run.Results) string {
	ours, _ := all.Value("handoff", 4, "gap50", "dlock-file")
	floor, ok := all.Value("handoff", 4, "gap50", "inotify")
	if !ok {
		return ""
	}
	return fmt.Sprintf("the system takes %s of the %s to hand over in order, which is to unlock, to have inotify wake the next process, and to lock: see %q. "+
		"The peers do not hand over: the kernel, or the process itself, takes the lock again before anybody is woken, and the shares are what they are. "+
		"dlock's own part is the way of the release to the goroutine that owns the client's line to the store and of the grant back from there, "+
		"the place in the queue of the one who comes next, and the token.", duration(floor), duration(ours), "flock(2) and inotify")
}

// limitOfPostgres compares with sessions that wait by themselves.
func limitOfPostgres(all run.Results) string {
	ours, _ := all.Value("handoff", 4, "gap50", "dlock-postgres")
	theirs, ok := all.Value("handoff", 4, "gap50", "advisory")
	if !ok {
		return ""
	}
	return fmt.Sprintf("the %s by hand are two statements of goroutines that own a connection each and wait in it. With dlock, %s, the connections are shared: "+
		"the release goes by two goroutines to the connection, the grant comes back by two, and who has just given back competes with them for the processors, "+
		"as he gets in line again.", duration(theirs), duration(ours))
}
