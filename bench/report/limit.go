package report

import (
	"fmt"
	"strings"

	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/stats"
)

// A limit is what stands in the way of a target, as far as it is known: two times
// that were measured, and what one says about the other.
type limit struct {
	work         string
	size         int
	key          string
	ours, theirs string // contestants
	why          string // {ours} and {theirs} stand for the times
}

// The limits by the checks of the targets that are about them.
var limits = map[string]limit{
	"Redis ÷ redislock": {"own", 1, "p50", "dlock-redis", "redislock",
		"redislock's {theirs} are a SET and a GET with a DEL, in scripts. dlock's {ours} are two scripts of three and four commands, " +
			"which also renew the session, look whether the server has lost writes of it, and draw a token that grows whatever the clock does; " +
			"and each of the two goes through the goroutines of the coordinator and of its line to the store, which is what lets one connection serve thousands: " +
			"there the answer wakes another goroutine, and Go's runtime a thread with it."},
	"Postgres ÷ by hand": {"own", 1, "p50", "dlock-postgres", "advisory",
		"the {theirs} by hand are two statements of a goroutine on a connection of its own. The statements of dlock, {ours}, also draw a token from a sequence, " +
			"and the answer to each wakes another goroutine, and Go's runtime a thread with it. Without tokens the statements are the same."},
	"gap p50, Postgres ÷ by hand": {"handoff", 4, "gap50", "dlock-postgres", "advisory",
		"the {theirs} by hand are two statements of goroutines that own a connection each and wait in it. With dlock, {ours}, the connections are shared: " +
			"the release goes by two goroutines to the connection, the grant comes back by two, and who has just given back competes with them for the processors, " +
			"as he gets in line again."},
	"gap p50, file": {"handoff", 4, "gap50", "dlock-file", "inotify",
		"the system takes {theirs} of the {ours} to hand over in order, which is to unlock, to have inotify wake the next process, and to lock: see \"flock(2) and inotify\". " +
			"A thread that blocks in flock(2) is woken sooner, but nobody can call it back when its context ends. " +
			"The peers do not hand over: the kernel, or the process itself, takes the lock again before anybody is woken, and the shares are what they are. " +
			"dlock's own part is the way of the release to the goroutine that owns the client's line to the store and of the grant back from there, " +
			"the place in the queue of the one who comes next, and the token."},
	"without tokens, pairs/s ÷ by hand": {"own", 64, "client", "dlock-postgres-untokened", "advisory",
		"one batch is under way at a time, so that the client, which takes {ours} of processor time for a pair, and the one server process work by turns. " +
			"By hand, 64 connections take {theirs} in the client and as many server processes for it, but on all processors at once."},
	"÷ gofrs/flock": {"own", 1, "p50", "dlock-file", "gofrs",
		"gofrs/flock opens the file, locks it and closes it in {theirs}. dlock's {ours} lock and unlock it, look before and after whether anybody waits, " +
			"and look whether the path still names the file that was locked; by a profile this is three fifths of the time, and the goroutines in between are most of the rest."},
}

// Limits tells of the targets that are not met what stands in the way. It is empty
// when there is nothing to tell.
func Limits(all run.Results) string {
	var b strings.Builder
	for i, t := range targets {
		for _, c := range t.checks {
			if values := c.figure(all); len(values) == 0 || c.met(values) {
				continue
			}
			if l, ok := limits[c.what]; ok {
				fmt.Fprintf(&b, "- Target %d, %s: %s\n", i+1, c.what, l.tell(all))
			}
		}
	}
	return b.String()
}

func (l limit) tell(all run.Results) string {
	took := func(id string) string {
		values := all.Values(l.work, l.size, l.key, id)
		if len(values) == 0 {
			return "(not measured)"
		}
		return duration(stats.Median(values))
	}
	return strings.NewReplacer("{ours}", took(l.ours), "{theirs}", took(l.theirs)).Replace(l.why)
}
