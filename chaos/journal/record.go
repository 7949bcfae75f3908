// Package journal is how the processes of a run tell what happened: each appends
// records to a file of its own, before and after what it does, on a clock that
// all processes of the machine share.
package journal

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Kind is what a record tells. Its values are in V, in the order given.
type Kind string

// The records of a worker process. A client is the index of one of its clients,
// an op one acquisition and unique in its process, an owner the same as the store
// knows it. Times are nanoseconds of the monotonic clock, and 0 is none.
const (
	Start    Kind = "start"    // slot, pid
	Call     Kind = "call"     // client, op, name, mode, nanoseconds it will wait (-1: a try)
	Grant    Kind = "grant"    // client, op, session, owner, lease, deadline of the lease, token
	Fail     Kind = "fail"     // client, op; why
	Release  Kind = "release"  // client, op
	Released Kind = "released" // client, op; the error
	Signal   Kind = "signal"   // client, op: it is being told that it is lost
	Lost     Kind = "lost"     // client, op: its holder has noticed that; why
	Overdue  Kind = "overdue"  // client, op, deadline: a hold past its deadline said that it holds

	Opened   Kind = "opened"   // client, session
	Unopened Kind = "unopened" // client; why
	Dead     Kind = "dead"     // client, session; why
	Parted   Kind = "parted"   // client, session: it was closed, or given up
	Ask      Kind = "ask"      // client, session, owner, name, mode, whether it waits
	Queued   Kind = "queued"   // client, session, owner
	Taken    Kind = "taken"    // client, session, owner, ordinal
	Withdraw Kind = "withdraw" // client, session, owner
	Gone     Kind = "gone"     // client, session, owner: released or refused
	Lease    Kind = "lease"    // client, session, lease, deadline
	Move     Kind = "move"     // client, session, owner, lease
	Slow     Kind = "slow"     // client, session, nanoseconds, operations without an outcome
	Places   Kind = "places"   // client, name, most places at the store at a time so far
	Crowd    Kind = "crowd"    // client, name, how many waited when all who had called did

	Stall   Kind = "stall"   // since when the process, or its journal, stood still
	Drained Kind = "drained" // client, holds, waiting, queued, owners that the store was not asked to free
	Closed  Kind = "closed"  // goroutines before, after, descriptors before, after; the error
)

// A Record is one line of a journal.
type Record struct {
	At   int64
	Kind Kind
	V    [7]int64
	Text string
}

// Read returns the records of a journal. The last line of a process that was
// killed may be missing.
func Read(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var records []Record
	in := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return records, nil // io.EOF; a line without an end was cut short
		}
		r, err := parse(line[:len(line)-1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		records = append(records, r)
	}
}

func parse(line string) (Record, error) {
	var r Record
	at, rest, _ := strings.Cut(line, " ")
	t, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return r, err
	}
	kind, rest, _ := strings.Cut(rest, " ")
	r.At, r.Kind = t, Kind(kind)
	for i := 0; rest != ""; i++ {
		if rest[0] == '"' {
			r.Text, err = strconv.Unquote(rest)
			return r, err
		}
		var v string
		v, rest, _ = strings.Cut(rest, " ")
		if i == len(r.V) {
			return r, fmt.Errorf("more than %d values", i)
		}
		if r.V[i], err = strconv.ParseInt(v, 10, 64); err != nil {
			return r, err
		}
	}
	return r, nil
}
